"""Several folds of a topic's records, as one."""

from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import starmap
from typing import Self

import pytest

from contracts.messages import Rejection
from stream_processors.partition.fold import Folds
from stream_processors.store.chunks import Channel, Group, Groups, Unwritten
from stream_processors.transport.batches import RecordBatch
from tests.stream_processors.in_memory import groups_of
from tests.stream_processors.records import batch_of

A, B = Group("a", ["SET"]), Group("b", ["DEL"])


class Offsets(dict[int, int]):
    """Offset by index in the batch."""

    def without(self, places: Set[int], /) -> Self:
        return type(self)((at, offset) for at, offset in self.items() if at not in places)


@dataclass
class Fold:
    """Takes all records but those at some places."""

    records_at_once: int = 10
    is_full: bool = False
    is_due: bool = False
    rejects: frozenset[int] = frozenset()
    groups: Groups = ()
    fields: dict[str, str] = field(default_factory=dict)
    channel: Channel | None = None
    taken: list[int] = field(default_factory=list)
    n_written: int = 0

    def begun(self) -> Unwritten:
        return Unwritten(self.groups, self.fields, self.channel)

    async def take(self, records: Offsets) -> Sequence[Rejection]:
        bad = self.rejects & records.keys()
        self.taken += [offset for place, offset in records.items() if place not in bad]
        return [Rejection(place, "bad") for place in sorted(bad)]

    async def unwritten(self) -> Unwritten:
        return self.begun()

    def written(self) -> None:
        self.n_written += 1


def folds(*each: Fold) -> Folds[Offsets]:
    return Folds(decode, each)


def decode(batch: RecordBatch) -> tuple[Offsets, list[Rejection]]:
    """The first record is invalid."""
    offsets = Offsets(enumerate(batch.offsets().tolist()))
    return offsets.without(frozenset([0])), [Rejection(0, "invalid")]


async def some_at_a_time() -> AsyncIterator[list[Group]]:
    yield [A]
    yield [B]


async def test_what_one_rejects_does_not_reach_those_after_it() -> None:
    first, second, third = Fold(rejects=frozenset([2])), Fold(rejects=frozenset([3])), Fold()
    batch = batch_of("interactions", 0, [(offset, b"") for offset in range(10, 15)])

    rejections = await folds(first, second, third).take(batch)

    assert rejections == list(starmap(Rejection, [(0, "invalid"), (2, "bad"), (3, "bad")]))
    assert (first.taken, second.taken, third.taken) == ([11, 13, 14], [11, 14], [11, 14])


async def test_they_are_written_together_in_their_order() -> None:
    channel = Channel("changed", bytes)
    each = Fold(groups=[B], fields={"b": "1"}), Fold(groups=[A], fields={"a": "2"}, channel=channel)
    joined = folds(*each)

    for unwritten in (joined.begun(), await joined.unwritten()):
        assert await groups_of(unwritten) == [B, A]
        assert (unwritten.fields, unwritten.channel) == ({"b": "1", "a": "2"}, channel)
    joined.written()
    assert [one.n_written for one in each] == [1, 1]


async def test_groups_may_come_some_at_a_time() -> None:
    unwritten = await folds(Fold(groups=[A]), Fold(groups=some_at_a_time())).unwritten()
    assert await groups_of(unwritten) == [A, A, B]


@pytest.mark.parametrize("is_one", [False, True])
def test_the_strictest_one_decides(*, is_one: bool) -> None:
    joined = folds(Fold(records_at_once=7), Fold(records_at_once=3, is_full=is_one, is_due=is_one))
    assert (joined.records_at_once, joined.is_full, joined.is_due) == (3, is_one, is_one)


@pytest.mark.parametrize(
    "both", [{"fields": {"closed": "1"}}, {"channel": Channel("changed", bytes)}]
)
def test_no_two_may_write_the_same_field_or_publish(both: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"two folds .* (closed|changed)"):
        folds(Fold(**both), Fold(**both)).begun()  # type: ignore[arg-type]
