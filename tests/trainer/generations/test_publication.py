"""A generation is served whole or not at all, and none stays for ever."""

import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from contracts.generations import DEFAULT_VARIANT, Canary, Current, Served
from contracts.keyspace import REPLACED_GENERATION_TTL_S, Keyspace
from contracts.pointer import promoted, rolled_back, withdrawn
from runtime.redis.stores import Store
from trainer.generations.publication import (
    HeldError,
    SupersededError,
    change_current,
    end_generation,
    end_unnamed,
    generation_id,
    publication,
    read_current,
)
from trainer.reading import pipelines


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


def test_what_a_killed_trainer_left_behind_expires_with_the_next_run(
    store: Store, keyspace: Keyspace
) -> None:
    publish(store, keyspace, "g1", 1)
    with publication(store, keyspace, "g2", 2) as killed:
        killed.write(values_of(keyspace, "g2"))
    # killed: nothing more comes from it
    with publication(store, keyspace, "g3", 3):
        assert ends_soon(lifetimes(store, keyspace, "g2"))
        assert lifetimes(store, keyspace, "g1") == {-1}


def test_a_trainer_still_cleaning_up_spares_its_successors_generation(
    store: Store, keyspace: Keyspace
) -> None:
    with publication(store, keyspace, "g1", 1) as first:
        first.write(values_of(keyspace, "g1"))
    first.serve("cosine", "user-knn")
    with publication(store, keyspace, "g2", 2) as successor:
        successor.write(values_of(keyspace, "g2"))
        first._end_dead(Current(1, {DEFAULT_VARIANT: Served("g1", "cosine", "user-knn")}))
        assert lifetimes(store, keyspace, "g2") == {-1}


def test_the_first_claim_leaves_a_pointer_that_serves_nothing(
    store: Store, keyspace: Keyspace
) -> None:
    with publication(store, keyspace, "g1", 1):
        assert read_current(store, keyspace) == Current(1, {})


def test_no_key_is_left_of_an_ended_generation_whose_list_of_keys_is_gone_first(
    store: Store, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    generations = [f"g{n}" for n in range(1, 6)]
    for generation in generations:  # more keys than are read or ended at once
        with publication(store, keyspace, generation, 1) as made:
            made.write(
                {keyspace.model_similar(generation, str(item)): b"[]" for item in range(3_000)}
            )
    # The end comes at once, as it does for a list that is read for longer than its keys may live.
    monkeypatch.setattr("trainer.generations.publication.REPLACED_GENERATION_TTL_S", 0)
    for generation in generations:
        end_generation(store, keyspace, generation)
        assert lifetimes(store, keyspace, generation) == set()


def test_other_variants_survive_a_claim(store: Store, keyspace: Keyspace) -> None:
    variants = {"canary": Served("g0", "cosine", "user-knn")}
    store.set(keyspace.model_current(), msgspec.json.encode(Current(1, variants)))
    with publication(store, keyspace, "g1", 2):
        assert read_current(store, keyspace) == Current(2, variants)


def test_a_pointer_that_changes_concurrently_is_read_again(
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


def try_out(store: Store, keyspace: Keyspace, generation: str, fence: int) -> None:
    with publication(store, keyspace, generation, fence) as made:
        made.write(values_of(keyspace, generation))
    made.try_out("cosine", "user-knn", share=0.1, since_ms=7, release=False)


def decide(store: Store, keyspace: Keyspace, change: Callable[[Current], Current]) -> None:
    end_unnamed(store, keyspace, *change_current(store, keyspace, change))


def test_a_canary_and_what_it_is_compared_with_live_while_it_is_on_trial(
    store: Store, keyspace: Keyspace
) -> None:
    publish(store, keyspace, "g1", 1)
    try_out(store, keyspace, "g2", 2)
    with publication(store, keyspace, "g3", 3):  # a run that fails before it serves anything
        pass
    current = read_current(store, keyspace)
    assert current is not None
    assert current.canary == Canary(Served("g2", "cosine", "user-knn"), 0.1, 7)
    assert served(store, keyspace) == "g1"
    assert lifetimes(store, keyspace, "g1") == lifetimes(store, keyspace, "g2") == {-1}


def test_a_canary_that_is_rolled_back_ends_and_what_is_served_stays(
    store: Store, keyspace: Keyspace
) -> None:
    publish(store, keyspace, "g1", 1)
    try_out(store, keyspace, "g2", 2)
    decide(store, keyspace, withdrawn)
    assert served(store, keyspace) == "g1"
    assert lifetimes(store, keyspace, "g1") == {-1}
    assert ends_soon(lifetimes(store, keyspace, "g2"))


def test_a_canary_that_is_promoted_stays_and_what_it_replaces_is_kept_or_ends(
    store: Store, keyspace: Keyspace
) -> None:
    publish(store, keyspace, "g1", 1)
    for canary, fence, keep in (("g2", 2, 1), ("g3", 3, 0)):
        try_out(store, keyspace, canary, fence)
        decide(store, keyspace, lambda current, keep=keep: promoted(current, keep))
        assert served(store, keyspace) == canary
        assert lifetimes(store, keyspace, canary) == {-1}
        assert (
            lifetimes(store, keyspace, "g1") == {-1}
            if keep
            else ends_soon(lifetimes(store, keyspace, "g1"))
        )
    assert ends_soon(lifetimes(store, keyspace, "g2"))


def test_as_many_generations_are_kept_as_asked_for_and_no_more(
    store: Store, keyspace: Keyspace
) -> None:
    for fence in range(1, 6):
        with publication(store, keyspace, f"g{fence}", fence) as made:
            made.write(values_of(keyspace, f"g{fence}"))
        made.serve("cosine", "user-knn", keep=2)
    for fence, kept in ((5, True), (4, True), (3, True), (2, False), (1, False)):
        assert (lifetimes(store, keyspace, f"g{fence}") == {-1}) == kept
    decide(store, keyspace, rolled_back)
    assert served(store, keyspace) == "g4"
    assert ends_soon(lifetimes(store, keyspace, "g5"))
    assert lifetimes(store, keyspace, "g4") == lifetimes(store, keyspace, "g3") == {-1}


def test_a_rollback_is_not_overruled_by_a_run_in_progress(store: Store, keyspace: Keyspace) -> None:
    publish(store, keyspace, "g1", 1)
    try_out(store, keyspace, "g2", 2)
    with publication(store, keyspace, "g3", 3) as made:
        made.write(values_of(keyspace, "g3"))
        decide(store, keyspace, rolled_back)
    with pytest.raises(HeldError, match="python -m trainer once"):
        made.serve("cosine", "user-knn", release=False)
    assert served(store, keyspace) == "g1"
    assert ends_soon(lifetimes(store, keyspace, "g3"))
    publish(store, keyspace, "g4", 4)  # a person asked for it
    assert served(store, keyspace) == "g4"


def test_an_earlier_trainer_that_wakes_up_cannot_try_out(store: Store, keyspace: Keyspace) -> None:
    publish(store, keyspace, "g1", 1)
    with publication(store, keyspace, "g2", 2) as stalled:
        stalled.write(values_of(keyspace, "g2"))
    try_out(store, keyspace, "g3", 3)
    with pytest.raises(SupersededError, match="fence 3, generation g2 has 2"):
        stalled.try_out("cosine", "user-knn", share=0.5, since_ms=8, release=False)
    current = read_current(store, keyspace)
    assert current is not None
    assert current.canary is not None
    assert current.canary.served.generation == "g3"


def test_a_variant_that_is_no_longer_made_expires(store: Store, keyspace: Keyspace) -> None:
    publish(store, keyspace, "g1", 1)
    with publication(store, keyspace, "s1", 1) as steep:
        steep.write(values_of(keyspace, "s1"))
    steep.serve("cosine", "user-knn", variant="steep")
    assert lifetimes(store, keyspace, "g1") == lifetimes(store, keyspace, "s1") == {-1}
    with publication(store, keyspace, "g2", 2) as made:
        made.write(values_of(keyspace, "g2"))
    made.serve("cosine", "user-knn")
    made.withdraw_others(frozenset())
    assert served(store, keyspace) == "g2"
    assert ends_soon(lifetimes(store, keyspace, "s1"))


def test_generations_sort_by_time() -> None:
    ids = [
        generation_id(datetime(2021, 12, day, hour, tzinfo=UTC), 7)
        for day in (1, 2, 31)
        for hour in (0, 9, 23)
    ]
    assert ids == sorted(ids)


def test_each_key_is_noted_before_it_is_written(
    store: Store, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def ask_each(store: Store, keys: Iterable[str], ask: Callable[[Any, str], object]) -> list[Any]:
        chunk = list(keys)
        assert store.smembers(keyspace.model_keys("g1")).issuperset(chunk)
        assert not store.exists(*chunk)
        written.extend(chunk)
        return pipelines.ask_each(store, chunk, ask)

    with publication(store, keyspace, "g1", 1) as made:
        monkeypatch.setattr("trainer.generations.publication.ask_each", ask_each)
        made.write(values_of(keyspace, "g1"))
    assert written == list(values_of(keyspace, "g1"))
