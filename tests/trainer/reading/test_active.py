"""Which users were active last."""

import pytest

from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from trainer.reading import active
from trainer.reading.active import latest_users


def test_a_user_shifted_to_the_next_page_is_read_once(
    store: Store, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active, "_USERS_PER_PAGE", 2)
    key = keyspace.active(0)
    store.zadd(key, {f"u{n}": n for n in range(5)})
    users = active._active(store, key, 0, 10)
    found = [next(users)[1], next(users)[1]]
    store.zadd(key, {"new": 99})
    found += [user for _, user, _ in users]
    assert found == ["u4", "u3", "u2", "u1", "u0"]


def test_no_partitions_have_no_users(store: Store, keyspace: Keyspace) -> None:
    assert latest_users(store, keyspace, 0, 10) == ([], [])
