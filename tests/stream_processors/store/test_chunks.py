"""Chunks that keep together what belongs together."""

from hypothesis import given
from hypothesis import strategies as st

from stream_processors.store.chunks import Group, chunks, command

COST = 2_500

group_widths = st.lists(
    st.lists(st.integers(0, 3_000), min_size=1, max_size=3), min_size=1, max_size=20
)


def groups_of(widths: list[list[int]]) -> list[Group]:
    """Return groups with so many arguments of each command, and as many packed numbers."""
    return [
        Group(
            f"key {n}",
            [e for w in group for e in command("HSET", ["x"] * w)],
            [n],
            bytes(5 * sum(group)),
            sum(group),
        )
        for n, group in enumerate(widths)
    ]


def size(group: Group) -> int:
    return 1 + len(group.commands) + group.n


@given(widths=group_widths)
def test_groups_are_never_split_and_chunks_stay_small(widths: list[list[int]]) -> None:
    groups, at, before = groups_of(widths), 0, COST
    for chunk in chunks(groups, COST):
        its = groups[at : at + len(chunk.keys)]
        assert chunk.keys == [group.key for group in its]
        assert chunk.commands == [e for g in its for e in (len(g.commands), *g.commands)]
        assert chunk.published == [n for group in its for n in group.published]
        assert chunk.fields == [group.fields for group in its]
        assert len(its) == 1 or sum(map(size, its)) <= COST
        assert before + size(its[0]) > COST, "the chunk before had room"
        before = sum(map(size, its))
        at += len(its)
    assert at == len(groups)
