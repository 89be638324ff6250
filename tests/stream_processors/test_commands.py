"""Chunks that keep together what belongs together."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.commands import command
from stream_processors.commands import chunks

COST = 2_500

group_widths = st.lists(
    st.lists(st.integers(0, 3_000), min_size=1, max_size=3), min_size=1, max_size=20
)


@given(widths=group_widths)
def test_groups_are_never_split_and_chunks_stay_small(widths: list[list[int]]) -> None:
    groups = [
        [entry for width in group for entry in command("HSET", f"{n}", ["x"] * width)]
        for n, group in enumerate(widths)
    ]
    ends = set()
    sizes = [len(chunk) for chunk in chunks(groups, COST)]
    for group in groups:
        ends.add(max(ends, default=0) + len(group))
    at = 0
    for size in sizes:
        assert size <= COST or at + size == min(end for end in ends if end > at)
        at += size
        assert at in ends
    assert [e for chunk in chunks(groups, COST) for e in chunk] == [e for g in groups for e in g]


def test_nothing_makes_no_chunk() -> None:
    assert list(chunks([], COST)) == []
