"""A generation is served whole or not at all, and none stays for ever."""

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import pytest

from contracts.generations import DEFAULT_VARIANT, Canary, Current, Decision, Served
from contracts.keyspace import REPLACED_GENERATION_TTL_S, Keyspace
from contracts.pointer import promoted, rolled_back
from runtime.redis.stores import Store
from tests.trainer.setup import Setup
from trainer.generations.decisions import note, read_report, served_popularity, served_report
from trainer.generations.publication import (
    HeldError,
    Publication,
    SupersededError,
    change_current,
    end_generation,
    end_unnamed,
    publication,
)
from trainer.generations.report import Data, Inputs, Lists, Report
from trainer.reading import pipelines


def served(made: Publication) -> Served:
    return Served(made.generation, "cosine", "user-knn")


class Generations(Setup):
    """Generations of a namespace, each of as many keys."""

    def values(self, generation: str, keys: int = 500) -> dict[str, bytes]:
        return {self.keys.model_similar(generation, str(item)): b"[]" for item in range(keys)}

    def claim(self, generation: str, fence: int) -> AbstractContextManager[Publication]:
        return publication(self.store, self.keys, generation, fence)

    def written(self, generation: str, fence: int, keys: int = 500) -> Publication:
        with self.claim(generation, fence) as made:
            made.write(self.values(generation, keys))
        return made

    def publish(self, generation: str, fence: int, **how: Any) -> Publication:
        made = self.written(generation, fence)
        made.serve(served(made), **how)
        return made

    def try_out(self, generation: str, fence: int) -> None:
        made = self.written(generation, fence)
        made.try_out(Canary(served(made), 0.1, 7, 8), release=False)

    def put_current(self, current: Current) -> None:
        self.store.set(self.keys.model_current(), msgspec.json.encode(current))

    def decide(self, change: Callable[[Current], Current]) -> None:
        end_unnamed(self.store, self.keys, *change_current(self.store, self.keys, change))

    def lifetimes(self, generation: str) -> set[int]:
        """Return the seconds that the keys of a generation have to live; -1 is for ever."""
        keys = self.store.scan_iter(f"{self.keys.namespace}:model:{generation}:*")
        return {int(self.store.ttl(key)) for key in keys}

    def stay(self, *generations: str) -> bool:
        """Return whether the keys of all of these generations live for ever."""
        return all(self.lifetimes(generation) == {-1} for generation in generations)

    def ends_soon(self, generation: str) -> bool:
        ttls = self.lifetimes(generation)
        return bool(ttls) and all(0 < ttl <= REPLACED_GENERATION_TTL_S for ttl in ttls)


@pytest.fixture
def generations(setup: Setup) -> Generations:
    return Generations(**vars(setup))


def test_the_pointer_names_a_generation_whose_keys_live_for_ever(generations: Generations) -> None:
    generations.publish("g1", 1)
    assert generations.current == Current(1, {DEFAULT_VARIANT: Served("g1", "cosine", "user-knn")})
    assert generations.stay("g1")
    keys = generations.values("g1").keys() | {generations.keys.model_keys("g1")}
    assert generations.store.smembers(generations.keys.model_keys("g1")) == keys


def test_the_replaced_generation_ends_a_minute_later(generations: Generations) -> None:
    generations.publish("g1", 1)
    generations.publish("g2", 2)
    assert generations.served_generation == "g2"
    assert generations.ends_soon("g1")
    assert generations.stay("g2")
    assert generations.store.zrange(generations.keys.model_generations(), 0, -1) == ["g2"]


def test_nothing_is_served_before_all_is_written(generations: Generations) -> None:
    generations.publish("g1", 1)
    with generations.claim("g2", 2) as made:
        made.write(generations.values("g2"))
        assert generations.served_generation == "g1"
        assert generations.stay("g1")
    made.serve(served(made))
    assert generations.served_generation == "g2"


def test_a_generation_that_failed_ends_and_what_was_served_stays(generations: Generations) -> None:
    generations.publish("g1", 1)
    with contextlib.suppress(ZeroDivisionError), generations.claim("g2", 2) as made:
        made.write(generations.values("g2"))
        raise ZeroDivisionError
    assert generations.served_generation == "g1"
    assert generations.ends_soon("g2")
    assert generations.stay("g1")


def test_an_earlier_trainer_that_wakes_up_cannot_serve(generations: Generations) -> None:
    stalled = generations.written("g1", 1)
    with generations.claim("g2", 2) as successor:
        # Already the successor's claim shuts it out.
        with pytest.raises(SupersededError, match="fence 2, generation g1 has 1"):
            stalled.serve(served(stalled))
        assert generations.ends_soon("g1")
        successor.write(generations.values("g2"))
    successor.serve(served(successor))
    with pytest.raises(SupersededError), generations.claim("g3", 1):
        pass
    assert generations.served_generation == "g2"


def test_a_trainer_whose_claim_redis_lost_does_not_serve(generations: Generations) -> None:
    made = generations.written("g1", 1)
    generations.store.delete(generations.keys.model_current())
    with pytest.raises(SupersededError, match="Redis lost data"):
        made.serve(served(made))


def test_what_a_killed_trainer_left_behind_expires_with_the_next_run(
    generations: Generations,
) -> None:
    generations.publish("g1", 1)
    generations.written("g2", 2)  # and killed: nothing more comes from it
    with generations.claim("g3", 3):
        assert generations.ends_soon("g2")
        assert generations.stay("g1")


def test_a_trainer_still_cleaning_up_spares_its_successors_generation(
    generations: Generations,
) -> None:
    first = generations.publish("g1", 1)
    with generations.claim("g2", 2) as successor:
        successor.write(generations.values("g2"))
        first._end_dead(Current(1, {DEFAULT_VARIANT: Served("g1", "cosine", "user-knn")}))
        assert generations.stay("g2")


def test_no_key_is_left_of_an_ended_generation_whose_list_of_keys_is_gone_first(
    generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [f"g{n}" for n in range(1, 6)]
    for generation in some:
        generations.written(generation, 1, keys=3_000)  # more than are read or ended at once
    # The end comes at once, as it does for a list that is read for longer than its keys may live.
    monkeypatch.setattr("trainer.generations.publication.REPLACED_GENERATION_TTL_S", 0)
    for generation in some:
        end_generation(generations.store, generations.keys, generation)
        assert generations.lifetimes(generation) == set()


def test_a_pointer_that_changes_concurrently_is_read_again(
    generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = {"canary": Served("g0", "cosine", "user-knn")}
    get = generations.store.get

    def get_before_it_changes(key: str) -> object:
        stored = get(key)
        monkeypatch.undo()
        generations.put_current(Current(1, variants))
        return stored

    monkeypatch.setattr(generations.store, "get", get_before_it_changes)
    with generations.claim("g2", 2) as made:
        assert generations.current == Current(2, variants)
    monkeypatch.setattr(generations.store, "get", get_before_it_changes)
    with pytest.raises(SupersededError):
        made.serve(served(made))


def test_a_canary_and_what_it_is_compared_with_live_while_it_is_on_trial(
    generations: Generations,
) -> None:
    generations.publish("g1", 1)
    generations.try_out("g2", 2)
    with generations.claim("g3", 3):  # a run that fails before it serves anything
        pass
    assert generations.current.canary == Canary(Served("g2", "cosine", "user-knn"), 0.1, 7, 8)
    assert generations.served_generation == "g1"
    assert generations.stay("g1", "g2")


def test_a_canary_that_is_promoted_stays_and_what_it_replaces_is_kept_or_ends(
    generations: Generations,
) -> None:
    generations.publish("g1", 1)
    for canary, fence, keep in (("g2", 2, 1), ("g3", 3, 0)):
        generations.try_out(canary, fence)
        generations.decide(lambda current, keep=keep: promoted(current, keep))
        assert generations.served_generation == canary
        assert generations.stay(canary)
        assert generations.stay("g1") if keep else generations.ends_soon("g1")
    assert generations.ends_soon("g2")


def test_as_many_generations_are_kept_as_asked_for_and_no_more(generations: Generations) -> None:
    for fence in range(1, 6):
        generations.publish(f"g{fence}", fence, keep=2)
    for fence, kept in ((5, True), (4, True), (3, True), (2, False), (1, False)):
        assert generations.stay(f"g{fence}") == kept
    generations.decide(rolled_back)
    assert generations.served_generation == "g4"
    assert generations.ends_soon("g5")
    assert generations.stay("g4", "g3")


def test_a_rollback_is_not_overruled_by_a_run_in_progress(generations: Generations) -> None:
    generations.publish("g1", 1)
    generations.try_out("g2", 2)
    with generations.claim("g3", 3) as made:
        made.write(generations.values("g3"))
        generations.decide(rolled_back)
    with pytest.raises(HeldError, match="python -m trainer once"):
        made.serve(served(made), release=False)
    assert generations.served_generation == "g1"
    assert generations.ends_soon("g3")
    generations.publish("g4", 4)  # a person asked for it
    assert generations.served_generation == "g4"


def test_an_earlier_trainer_that_wakes_up_cannot_try_out(generations: Generations) -> None:
    generations.publish("g1", 1)
    stalled = generations.written("g2", 2)
    generations.try_out("g3", 3)
    with pytest.raises(SupersededError, match="fence 3, generation g2 has 2"):
        stalled.try_out(Canary(served(stalled), 0.5, 8, 9), release=False)
    canary = generations.current.canary
    assert canary is not None
    assert canary.served.generation == "g3"


def test_a_variant_that_is_no_longer_made_expires(generations: Generations) -> None:
    generations.publish("g1", 1)
    generations.publish("s1", 1, variant="steep")
    assert generations.stay("g1", "s1")
    made = generations.publish("g2", 2)
    made.withdraw_others(frozenset())
    assert generations.served_generation == "g2"
    assert generations.ends_soon("s1")


def test_each_key_is_noted_before_it_is_written(
    generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def ask_each(store: Store, keys: Iterable[str], ask: Callable[[Any, str], object]) -> list[Any]:
        chunk = list(keys)
        assert generations.store.smembers(generations.keys.model_keys("g1")).issuperset(chunk)
        assert not generations.store.exists(*chunk)
        written.extend(chunk)
        return pipelines.ask_each(store, chunk, ask)

    with generations.claim("g1", 1) as made:
        monkeypatch.setattr("trainer.generations.publication.ask_each", ask_each)
        made.write(generations.values("g1"))
    assert written == list(generations.values("g1"))


DAMAGED = [b"{", b"\xff", b"null", b"[]", b'{"generation":1}', b"\x00"]
REPORT = Report("g1", 1, "", "", Inputs({}, {}), Data(1, 1, 1, 1, 1, 1), Lists(1, 1, 1, 1, 1), {})


@pytest.mark.parametrize("stored", DAMAGED)
def test_a_damaged_report_is_none(store: Store, keyspace: Keyspace, stored: bytes) -> None:
    current = Current(1, {DEFAULT_VARIANT: Served("g1", "cosine", "none")})
    store.set(keyspace.model_current(), msgspec.json.encode(current))
    store.set(keyspace.model_report("g1"), stored)
    assert read_report(store, keyspace, "g1") is None
    assert served_report(store, keyspace) is None


def test_a_decision_is_noted_though_the_report_is_damaged(store: Store, keyspace: Keyspace) -> None:
    store.set(keyspace.model_report("g1"), "{")
    note(store, keyspace, Decision("", "g1", DEFAULT_VARIANT, "promoted", "", "rules"))
    assert store.llen(keyspace.model_decisions()) == 1
    assert store.get(keyspace.model_report("g1")) == "{"


@pytest.mark.parametrize(
    "stored", [*DAMAGED, b'{"model":"popular","items":[{"item":"seven","score":1}]}']
)
def test_a_damaged_list_of_popular_items_is_none(
    store: Store, keyspace: Keyspace, stored: bytes
) -> None:
    store.set(keyspace.model_popular("g1"), stored)
    assert served_popularity(store, keyspace, REPORT) is None
