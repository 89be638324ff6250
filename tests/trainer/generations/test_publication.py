"""A generation is served whole or not at all, and none stays for ever."""

import contextlib
import itertools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contracts.generations import DEFAULT_VARIANT, Canary, Current, Served
from contracts.keyspace import REPLACED_GENERATION_TTL_S, Keyspace
from contracts.pointer import (
    UndecidableError,
    named,
    on_trial,
    only,
    promoted,
    rolled_back,
    serving,
)
from runtime.redis.stores import Store
from tests.examples import examples
from tests.trainer.setup import Setup
from trainer.generations.decisions import read_report, served_popularity
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


@pytest.fixture
def generations(setup: Setup) -> Generations:
    return Generations(**vars(setup))


class Killed(BaseException):
    """The process ends here."""


def be_killed(*_: object) -> None:
    raise Killed


class Lives(RuleBasedStateMachine):
    """Trainers publish, try out, fail, stall or are killed, while operators decide."""

    def __init__(self, of: Generations) -> None:
        super().__init__()
        self.of, self.expected = of, Current(0, {})
        self.written: set[str] = set()
        self.ended: set[str] = set()
        self.made: list[Publication] = []
        self.is_running = False

    def become(self, after: Current) -> None:
        self.ended |= named(self.expected) - named(after)
        self.expected = after

    @rule(fails=st.booleans())
    def begin(self, *, fails: bool) -> None:
        """The trainer that ran before stalls."""
        fence, self.is_running = self.expected.fence + 1, not fails
        made = Publication(self.of.store, self.of.keys, f"g{fence}", fence)
        if fails:
            with contextlib.suppress(ZeroDivisionError), self.of.claim(f"g{fence}", fence):
                made.write(self.of.values(f"g{fence}", 3))
                raise ZeroDivisionError
        else:
            made.claim()
            made.write(self.of.values(f"g{fence}", 3))
        self.made.append(made)
        self.become(msgspec.structs.replace(self.expected, fence=fence))
        self.ended |= self.written - named(self.expected)
        self.written.add(f"g{fence}")
        self.ended |= {f"g{fence}"} if fails else set()

    @precondition(lambda self: self.is_running)
    @rule()
    def be_killed(self) -> None:
        self.is_running = False

    @precondition(lambda self: self.is_running)
    @rule(
        variant=st.sampled_from([DEFAULT_VARIANT, DEFAULT_VARIANT, "steep"]),
        keep=st.integers(0, 2),
        is_tried=st.booleans(),
        release=st.booleans(),
        dies=st.booleans(),
    )
    def publish(
        self, variant: str, keep: int, *, is_tried: bool, release: bool, dies: bool
    ) -> None:
        """Publish, and be killed before what is replaced ends: the next trainer ends it."""
        self.is_running = False
        new, canary = served(self.made[-1]), Canary(served(self.made[-1]), 0.1, 7, 8)
        serve = partial(self.made[-1].serve, new, variant=variant, keep=keep, release=release)
        after = serving(self.expected, variant, new, keep)
        if is_tried and DEFAULT_VARIANT in self.expected.variants:
            serve = partial(self.made[-1].try_out, canary, release=release)
            after = on_trial(self.expected, canary)
        if self.expected.held and not release:
            self.ended.add(new.generation)
            with pytest.raises(HeldError, match="python -m trainer once"):
                serve()
        elif dies:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("trainer.generations.publication.end_unnamed", be_killed)
                with pytest.raises(Killed):
                    serve()
            self.expected = after
        else:
            serve()
            self.become(after)

    @precondition(lambda self: len(self.made) > 1)
    @rule(is_tried=st.booleans(), data=st.data())
    def wake_up(self, *, is_tried: bool, data: st.DataObject) -> None:
        made = data.draw(st.sampled_from(self.made[:-1]))
        canary = Canary(served(made), 0.5, 8, 9)
        found = f"fence {self.expected.fence}, generation {made.generation} has {made.fence}"
        with pytest.raises(SupersededError, match=found):
            made.try_out(canary, release=True) if is_tried else made.serve(served(made))
        with pytest.raises(SupersededError), self.of.claim("late", made.fence):
            pass

    @rule(
        decided=st.sampled_from([partial(promoted, keep=1), partial(promoted, keep=0), rolled_back])
    )
    def decide(self, decided: Callable[[Current], Current]) -> None:
        with contextlib.suppress(UndecidableError):
            self.of.decide(decided)
            self.become(decided(self.expected))

    @precondition(lambda self: self.made)
    @rule(variants=st.sampled_from([frozenset(), frozenset({"steep"})]))
    def withdraw_others(self, variants: frozenset[str]) -> None:
        self.made[-1].withdraw_others(variants)
        self.become(only(self.expected, variants))

    @invariant()
    def what_is_served_is_whole_and_all_else_ends(self) -> None:
        if self.written:
            assert self.of.current == self.expected
        for generation in self.written:
            keys = {*self.of.values(generation, 3), self.of.keys.model_keys(generation)}
            assert self.of.store.smembers(self.of.keys.model_keys(generation)) == keys
            ttls = {int(self.of.store.ttl(key)) for key in keys}
            is_ending = all(0 < ttl <= REPLACED_GENERATION_TTL_S for ttl in ttls)
            assert is_ending if generation in self.ended else ttls == {-1}


def test_what_is_served_is_always_whole_and_all_else_ends(generations: Generations) -> None:
    numbers = itertools.count()

    def machine() -> Lives:
        keys = replace(generations.keys, namespace=f"{generations.keys.namespace}-{next(numbers)}")
        return Lives(replace(generations, keys=keys))

    run_state_machine_as_test(machine, settings=examples(40, stateful_step_count=25))


def test_a_trainer_whose_claim_redis_lost_does_not_serve(generations: Generations) -> None:
    made = generations.written("g1", 1)
    generations.store.delete(generations.keys.model_current())
    with pytest.raises(SupersededError, match="Redis lost data"):
        made.serve(served(made))


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

NO_LIST = b'{"model":"popular","items":[{"item":"seven","score":1}]}'


@pytest.mark.parametrize("stored", [*DAMAGED, NO_LIST])
def test_a_damaged_report_or_list_of_popular_items_is_none(
    store: Store, keyspace: Keyspace, stored: bytes
) -> None:
    store.set(keyspace.model_report("g1"), stored)
    store.set(keyspace.model_popular("g1"), stored)
    assert read_report(store, keyspace, "g1") is None
    assert served_popularity(store, keyspace, REPORT) is None
