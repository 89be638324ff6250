"""Changes count once, however often and in whatever messages they were published."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.changes import Blocks, Changes, TakenOut
from contracts.log_position import mark
from contracts.pairs import row_of
from stream_processors.cooccurrences.applied import Applied
from stream_processors.cooccurrences.unapplied import unapplied
from tests.oracles.gram import stored_once
from tests.stream_processors.spread import spread

Row = tuple[str, int, int, float]
"""kind, i, j, delta"""
ids = st.integers(0, 4)
rows = st.tuples(
    st.sampled_from(["own", "mirrored", "taken out"]), ids, ids, st.integers(-3, 3).map(float)
)
events = st.lists(st.lists(rows, min_size=1, max_size=4), max_size=12)
"""the rows of each offset"""
Counts = dict[tuple[int, int], float]


def message(
    source: int, events: list[list[Row]], first: int, last: int, incarnation: int = 0
) -> Changes:
    """The events of offsets `[first, last)` as one message."""
    all_rows = [(offset, *row) for offset in range(first, last) for row in events[offset]]

    def blocks(kind: str) -> Blocks:
        its = [(offset, i, j, delta) for offset, k, i, j, delta in all_rows if k == kind]
        offset, i, j, delta = zip(*its, strict=True) if its else ((),) * 4
        item, other = (i, j) if kind == "own" else (j, i)
        return Blocks(
            np.array(offset, np.int64),
            np.array(item, np.int64),
            np.ones(len(its), np.int64),
            np.array(other, np.int64),
            np.array(delta, np.float64),
        )

    taken_out = [
        TakenOut(offset, np.array([i]), np.array([-delta]), np.array([j]), np.ones(1))
        for offset, kind, i, j, delta in all_rows
        if kind == "taken out"
    ]
    return Changes(source, incarnation, 0, blocks("own"), blocks("mirrored"), taken_out)


@st.composite
def published(draw: st.DrawFn, source: int, events: list[list[Row]]) -> list[Changes]:
    """All events in messages, and repeatedly again from some offset on, split differently.

    As in reality: a worker resumes at an offset that it has published, never beyond.
    """
    messages, reached = [], 0
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, reached))
        for _ in range(draw(st.integers(0, 3))):
            end = draw(st.integers(start, len(events)))
            messages.append(message(source, events, start, end))
            start = end
        reached = max(reached, start)
    messages.append(message(source, events, draw(st.integers(0, reached)), len(events)))
    return messages


def applied_in_order(messages: list[Changes]) -> tuple[Counts, dict[int, Applied]]:
    counts: Counts = defaultdict(float)
    applied: dict[int, Applied] = {}
    for changes in messages:
        fresh, applied = unapplied(changes, applied)
        for some in spread(fresh):
            columns = (column.tolist() for column in some)
            for i, j, delta in zip(*columns, strict=True):
                counts[i, j] += delta
    return counts, applied


def recomputed(*sources: list[list[Row]]) -> Counts:
    counts: Counts = defaultdict(float)
    for source in sources:
        for kind, i, j, delta in (row for event in source for row in event):
            if kind != "taken out" or row_of(i, j) == i:
                counts[i, j] += delta
    return counts


@given(one=events, other=events, data=st.data())
def test_every_change_counts_once_however_it_was_published(
    one: list[list[Row]], other: list[list[Row]], data: st.DataObject
) -> None:
    queues = [data.draw(published(0, one)), data.draw(published(1, other))]
    log = []
    while any(queues):  # the two sources' messages interleave
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        log.append(queue.pop(0))
    counts, applied = applied_in_order(log)
    assert counts == recomputed(one, other)
    assert applied == {
        source: Applied(mark(0, len(events) - 1), 0)
        for source, events in enumerate([one, other])
        if events
    }


ONE: list[list[Row]] = [[("own", 1, 2, 1.0)]]


def test_a_recreated_log_counts_again_from_its_first_offset() -> None:
    counts, applied = applied_in_order(
        [message(0, ONE, 0, 1), message(0, ONE, 0, 1, incarnation=1)]
    )
    assert counts == {(1, 2): 2.0}
    assert applied == {0: Applied(mark(1, 0), 0)}


def test_what_was_applied_before_is_not_changed_in_place() -> None:
    before: dict[int, Applied] = {}
    unapplied(message(0, ONE, 0, 1), before)
    assert before == {}


@pytest.mark.parametrize("applied", [{3: Applied(7, 0)}, {0: Applied(7, 0), 3: Applied(7, 0)}])
def test_no_changes_give_no_rows(applied: dict[int, Applied]) -> None:
    fresh, after = unapplied(message(0, [], 0, 0), applied)
    assert len(fresh) == 0
    assert after == applied


@given(
    here=st.lists(ids, unique=True, max_size=5),
    rest=st.lists(st.integers(5, 9), unique=True, max_size=5),
)
def test_a_leaving_user_subtracts_the_product_of_each_pair_of_items(
    here: list[int], rest: list[int]
) -> None:
    r = np.arange(10.0) + 2
    i, j = np.array(here, np.int64), np.array([*here, *rest], np.int64)
    leaving = TakenOut(0, i, r[i], j, r[j])
    counts, _ = applied_in_order([Changes(0, 0, 0, Blocks.none(), Blocks.none(), [leaving])])
    whole = {(a, b): -r[a] * r[b] for a in here for b in [*here, *rest]}
    assert counts == stored_once(whole)
