"""One trainer at a time."""

import time
from collections.abc import Callable

import pytest

from contracts.generations import Served
from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from tests.patience import PATIENCE_S, eventually
from trainer.generations.publication import publication
from trainer.run import lock
from trainer.run.lock import LeaseLostError, LockedError, held


def wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def is_lost(check: Callable[[], None]) -> bool:
    try:
        check()
    except LeaseLostError:
        return True
    return False


def test_only_one_holds_the_lock_and_the_next_has_a_higher_token(
    store: Store, keyspace: Keyspace
) -> None:
    with held(store, keyspace, PATIENCE_S, 0, wait) as first:
        with (
            pytest.raises(LockedError, match="another trainer holds"),
            held(store, keyspace, PATIENCE_S, 0, wait),
        ):
            pass
        first.check()
    with held(store, keyspace, PATIENCE_S, 0, wait) as second:
        assert second.fence > first.fence


@pytest.mark.parametrize("lost", [Keyspace.model_fence, Keyspace.model_current])
def test_a_token_is_above_all_that_are_known_though_redis_lost_some(
    store: Store, keyspace: Keyspace, lost: Callable[[Keyspace], str]
) -> None:
    store.set(keyspace.model_fence(), 4_000)
    with (
        held(store, keyspace, PATIENCE_S, 0, wait) as earlier,
        publication(store, keyspace, "g1", earlier.fence) as made,
    ):
        pass
    made.serve(Served("g1", "cosine", "user-knn"))
    store.delete(keyspace.model_fence(), lost(keyspace))
    with held(store, keyspace, PATIENCE_S, 0, wait) as lease:
        assert lease.fence > earlier.fence
        with publication(store, keyspace, "g2", lease.fence) as made:
            pass
        made.serve(Served("g2", "cosine", "user-knn"))


def test_the_lease_is_renewed_while_the_lock_is_held(
    store: Store, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "RENEWALS_PER_LEASE", 10 * PATIENCE_S)
    with held(store, keyspace, PATIENCE_S, 0, wait) as lease:
        for _ in range(3):
            ends = lease._valid_until
            store.pexpire(keyspace.model_lock(), round(PATIENCE_S * 500))
            eventually(lambda ends=ends: lease._valid_until > ends, "a renewal")
            assert store.pttl(keyspace.model_lock()) > PATIENCE_S * 500
            lease.check()


def test_a_former_holder_is_notified_and_does_not_release_its_successors_lock(
    store: Store, keyspace: Keyspace
) -> None:
    with held(store, keyspace, 0.6, 0, wait) as lease:
        store.set(keyspace.model_lock(), "successor")
        eventually(lambda: is_lost(lease.check), "that the lease is lost")
    assert store.get(keyspace.model_lock()) == "successor"


def test_a_lease_that_cannot_be_renewed_ends(store: Store, keyspace: Keyspace) -> None:
    with held(store, keyspace, 0.6, 0, wait) as lease:
        # What Redis says to every renewal from now on: the wrong type, an error.
        store.delete(keyspace.model_lock())
        store.hset(keyspace.model_lock(), "not", "a string")
        eventually(lambda: is_lost(lease.check), "that the lease is lost")
        store.delete(keyspace.model_lock())
