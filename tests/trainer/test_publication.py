"""A generation is served whole or not at all, and none stays for ever."""

import contextlib
from datetime import UTC, datetime

import msgspec
import pytest

from contracts.keyspace import (
    DEFAULT_VARIANT,
    REPLACED_GENERATION_TTL_S,
    Current,
    Keyspace,
    Served,
)
from runtime.stores import Store
from trainer.publication import SupersededError, generation_id, publication, read_current


def values_of(keyspace: Keyspace, generation: str) -> dict[str, bytes]:
    return {keyspace.model_similar(generation, str(item)): b"[]" for item in range(500)}


def publish(store: Store, keyspace: Keyspace, generation: str, fence: int) -> None:
    with publication(store, keyspace, generation, fence) as made:
        made.write(values_of(keyspace, generation))
    made.serve("cosine", "user-knn")


def lifetimes(store: Store, keyspace: Keyspace, generation: str) -> set[int]:
    """Seconds that the keys of a generation have to live; -1 is for ever."""
    return {
        int(store.ttl(key)) for key in store.scan_iter(f"{keyspace.namespace}:model:{generation}:*")
    }


def served(store: Store, keyspace: Keyspace) -> str | None:
    current = read_current(store, keyspace)
    variant = current.variants.get(DEFAULT_VARIANT) if current else None
    return variant.generation if variant else None


def ends_soon(ttls: set[int]) -> bool:
    return bool(ttls) and all(0 < ttl <= REPLACED_GENERATION_TTL_S for ttl in ttls)


def test_the_pointer_names_a_generation_whose_keys_live_for_ever(
    store: Store, keyspace: Keyspace
) -> None:
    publish(store, keyspace, "g1", 1)
    assert read_current(store, keyspace) == Current(
        1, {DEFAULT_VARIANT: Served("g1", "cosine", "user-knn")}
    )
    assert lifetimes(store, keyspace, "g1") == {-1}
    keys = values_of(keyspace, "g1").keys() | {keyspace.model_keys("g1")}
    assert store.smembers(keyspace.model_keys("g1")) == keys


def test_the_replaced_generation_ends_a_minute_later(store: Store, keyspace: Keyspace) -> None:
    publish(store, keyspace, "g1", 1)
    publish(store, keyspace, "g2", 2)
    assert served(store, keyspace) == "g2"
    assert ends_soon(lifetimes(store, keyspace, "g1"))
    assert lifetimes(store, keyspace, "g2") == {-1}
    assert store.zrange(keyspace.model_generations(), 0, -1) == ["g2"]


def test_nothing_is_served_before_all_is_written(store: Store, keyspace: Keyspace) -> None:
    publish(store, keyspace, "g1", 1)
    with publication(store, keyspace, "g2", 2) as made:
        made.write(values_of(keyspace, "g2"))
        assert served(store, keyspace) == "g1"
        assert lifetimes(store, keyspace, "g1") == {-1}
    made.serve("cosine", "user-knn")
    assert served(store, keyspace) == "g2"


def test_a_generation_that_failed_ends_and_what_was_served_stays(
    store: Store, keyspace: Keyspace
) -> None:
    publish(store, keyspace, "g1", 1)
    with contextlib.suppress(ZeroDivisionError), publication(store, keyspace, "g2", 2) as made:
        made.write(values_of(keyspace, "g2"))
        raise ZeroDivisionError
    assert served(store, keyspace) == "g1"
    assert ends_soon(lifetimes(store, keyspace, "g2"))
    assert lifetimes(store, keyspace, "g1") == {-1}


def test_an_earlier_trainer_that_wakes_up_cannot_serve(store: Store, keyspace: Keyspace) -> None:
    with publication(store, keyspace, "g1", 1) as stalled:
        stalled.write(values_of(keyspace, "g1"))
    with publication(store, keyspace, "g2", 2) as successor:
        # Already the successor's claim shuts it out.
        with pytest.raises(SupersededError, match="fence 2, generation g1 has 1"):
            stalled.serve("cosine", "user-knn")
        assert ends_soon(lifetimes(store, keyspace, "g1"))
        successor.write(values_of(keyspace, "g2"))
    successor.serve("cosine", "user-knn")
    with pytest.raises(SupersededError), publication(store, keyspace, "g3", 1):
        pass
    assert served(store, keyspace) == "g2"


def test_a_trainer_whose_claim_redis_lost_does_not_serve(store: Store, keyspace: Keyspace) -> None:
    with publication(store, keyspace, "g1", 1) as made:
        made.write(values_of(keyspace, "g1"))
    store.delete(keyspace.model_current())
    with pytest.raises(SupersededError, match="Redis lost data"):
        made.serve("cosine", "user-knn")


def test_what_a_killed_trainer_left_behind_ends_with_the_next_run(
    store: Store, keyspace: Keyspace
) -> None:
    publish(store, keyspace, "g1", 1)
    with publication(store, keyspace, "g2", 2) as killed:
        killed.write(values_of(keyspace, "g2"))
    # killed: nothing more comes from it
    with publication(store, keyspace, "g3", 3):
        assert ends_soon(lifetimes(store, keyspace, "g2"))
        assert lifetimes(store, keyspace, "g1") == {-1}


def test_a_trainer_that_is_still_tidying_up_spares_what_its_successor_makes(
    store: Store, keyspace: Keyspace
) -> None:
    with publication(store, keyspace, "g1", 1) as first:
        first.write(values_of(keyspace, "g1"))
    first.serve("cosine", "user-knn")
    with publication(store, keyspace, "g2", 2) as successor:
        successor.write(values_of(keyspace, "g2"))
        first._end_replaced()
        assert lifetimes(store, keyspace, "g2") == {-1}


def test_the_first_claim_leaves_a_pointer_that_serves_nothing(
    store: Store, keyspace: Keyspace
) -> None:
    with publication(store, keyspace, "g1", 1):
        assert read_current(store, keyspace) == Current(1, {})


def test_other_variants_survive_a_claim(store: Store, keyspace: Keyspace) -> None:
    variants = {"canary": Served("g0", "cosine", "user-knn")}
    store.set(keyspace.model_current(), msgspec.json.encode(Current(1, variants)))
    with publication(store, keyspace, "g1", 2):
        assert read_current(store, keyspace) == Current(2, variants)


def test_a_pointer_that_changes_meanwhile_is_read_again(
    store: Store, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = {"canary": Served("g0", "cosine", "user-knn")}
    get = store.get

    def get_before_it_changes(key: str) -> object:
        stored = get(key)
        monkeypatch.undo()
        store.set(key, msgspec.json.encode(Current(1, variants)))
        return stored

    monkeypatch.setattr(store, "get", get_before_it_changes)
    with publication(store, keyspace, "g2", 2) as made:
        assert read_current(store, keyspace) == Current(2, variants)
    monkeypatch.setattr(store, "get", get_before_it_changes)
    with pytest.raises(SupersededError):
        made.serve("cosine", "user-knn")


def test_generations_sort_by_time() -> None:
    ids = [
        generation_id(datetime(2021, 12, day, hour, tzinfo=UTC), 7)
        for day in (1, 2, 31)
        for hour in (0, 9, 23)
    ]
    assert ids == sorted(ids)
