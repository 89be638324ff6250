"""Several folds of a topic's records, as one."""

from dataclasses import dataclass, field

import pytest

from stream_processors.partition.fold import Folds
from stream_processors.store.chunks import Channel, Group, Groups, Unwritten
from tests.stream_processors.in_memory import groups_of

A, B = Group("a", ["SET"]), Group("b", ["DEL"])


@dataclass
class Fold:
    """Has what it is given."""

    records_at_once: int = 10
    is_full: bool = False
    is_due: bool = False
    groups: Groups = ()
    fields: dict[str, str] = field(default_factory=dict)
    channel: Channel | None = None
    n_written: int = 0

    def begun(self) -> Unwritten:
        return Unwritten(self.groups, self.fields, self.channel)

    async def take(self, records: list[int]) -> None:
        """Take nothing."""

    async def unwritten(self) -> Unwritten:
        return self.begun()

    def written(self) -> None:
        self.n_written += 1


def folds(*each: Fold) -> Folds[list[int]]:
    return Folds(lambda _: ([], []), each)


async def test_they_are_written_together_in_their_order() -> None:
    channel = Channel("changed", bytes)
    each = Fold(groups=[B], fields={"b": "1"}), Fold(groups=[A], fields={"a": "2"}, channel=channel)
    joined = folds(*each)

    for unwritten in (joined.begun(), await joined.unwritten()):
        assert await groups_of(unwritten) == [B, A]
        assert (unwritten.fields, unwritten.channel) == ({"b": "1", "a": "2"}, channel)
    joined.written()
    assert [one.n_written for one in each] == [1, 1]


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
