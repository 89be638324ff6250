"""Changes count once, however often and however cut they were published."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.changes import Changes
from stream_processors.cooccurrences.fold import MarkedRows, unapplied
from stream_processors.marks import mark

Row = tuple[int, int, float]
"""i, j, delta"""
rows = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(-3, 3).map(float))
events = st.lists(st.lists(rows, min_size=1, max_size=4), max_size=12)
"""the rows of each offset"""

Messages = list[tuple[int, Changes]]


def message(
    source: int, events: list[list[Row]], first: int, last: int, incarnation: int = 0
) -> Changes:
    """The events of offsets `[first, last)` as one message."""
    columns = [
        (offset, i, j, delta) for offset in range(first, last) for i, j, delta in events[offset]
    ]
    offset, i, j, delta = zip(*columns, strict=True) if columns else ((),) * 4
    return Changes(
        source,
        incarnation,
        0,
        np.array(offset, np.int64),
        np.array(i, np.int64),
        np.array(j, np.int64),
        np.array(delta, np.float64),
    )


@st.composite
def published(draw: st.DrawFn, source: int, events: list[list[Row]]) -> list[Changes]:
    """All events in messages, and again from some place on, cut elsewhere, as often as you like.

    What may happen: a worker goes on from an offset that it has published, never beyond.
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


def in_log(messages: list[Changes]) -> Messages:
    return [(mark(0, offset), changes) for offset, changes in enumerate(messages)]


def unapplied_of(messages: Messages, applied: dict[int, int]) -> tuple[MarkedRows, dict[int, int]]:
    parts = []
    for at, changes in messages:
        rows, applied = unapplied(at, changes, applied)
        parts.append(rows)
    return MarkedRows.joined(parts), applied


def applied_in_cuts(
    messages: Messages, cuts: list[int]
) -> tuple[dict[tuple[int, int], float], dict[int, int]]:
    counts: dict[tuple[int, int], float] = defaultdict(float)
    applied: dict[int, int] = {}
    for start, end in zip([0, *cuts], [*cuts, len(messages)], strict=True):
        fresh, applied = unapplied_of(messages[start:end], applied)
        columns = (fresh.i, fresh.j, fresh.delta)
        for i, j, delta in zip(*(column.tolist() for column in columns), strict=True):
            counts[i, j] += delta
    return counts, applied


def recomputed(*sources: list[list[Row]]) -> dict[tuple[int, int], float]:
    counts: dict[tuple[int, int], float] = defaultdict(float)
    for source in sources:
        for i, j, delta in (row for event in source for row in event):
            counts[i, j] += delta
    return counts


@given(one=events, other=events, data=st.data())
def test_every_change_counts_once_however_it_was_published_and_read(
    one: list[list[Row]], other: list[list[Row]], data: st.DataObject
) -> None:
    queues = [data.draw(published(0, one)), data.draw(published(1, other))]
    log = []
    while any(queues):  # the two sources' messages interleave
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        log.append(queue.pop(0))
    messages = in_log(log)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(messages)), max_size=5)))
    counts, applied = applied_in_cuts(messages, cuts)
    assert counts == recomputed(one, other)
    assert applied == {
        source: mark(0, len(events) - 1) for source, events in enumerate([one, other]) if events
    }


def test_a_log_made_anew_counts_again_from_its_first_offset() -> None:
    events = [[(1, 2, 1.0)]]
    messages = in_log([message(0, events, 0, 1), message(0, events, 0, 1, incarnation=1)])
    counts, applied = applied_in_cuts(messages, [])
    assert counts == {(1, 2): 2.0}
    assert applied == {0: mark(1, 0)}


def test_what_was_applied_before_is_not_changed_in_place() -> None:
    before: dict[int, int] = {}
    unapplied_of(in_log([message(0, [[(1, 2, 1.0)]], 0, 1)]), before)
    assert before == {}


def test_rows_carry_the_mark_of_the_message_that_brought_them() -> None:
    events: list[list[Row]] = [[(1, 2, 1.0)], [(3, 4, 1.0)]]
    messages = in_log([message(0, events, 0, 1), message(0, events, 0, 2)])
    fresh, _ = unapplied_of(messages, {})
    assert list(zip(fresh.i.tolist(), fresh.at.tolist(), strict=True)) == [
        (1, mark(0, 0)),
        (3, mark(0, 1)),
    ]


def test_some_of_the_rows_can_be_left_out() -> None:
    messages = in_log([message(0, [[(1, 2, 1.0)], [(1, 2, 5.0)]], at, at + 1) for at in (0, 1)])
    fresh, _ = unapplied_of(messages, {})
    rows = fresh.where(fresh.at > mark(0, 0))
    assert (rows.i.tolist(), rows.delta.tolist()) == ([1], [5.0])


@pytest.mark.parametrize("messages", [[], in_log([message(0, [], 0, 0)])])
def test_nothing_is_no_rows(messages: Messages) -> None:
    fresh, applied = unapplied_of(messages, {3: 7})
    assert len(fresh) == 0
    assert applied == {3: 7}
