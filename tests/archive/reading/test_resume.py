"""A partition goes on at the table's position, or says why not."""

from hypothesis import example, given
from hypothesis import strategies as st

from archive.reading.broker import Bounds, resume
from runtime.archive.positions import Position

offsets = st.integers(0, 1_000)
ids = st.sampled_from(("first", "second"))
bounds = st.tuples(ids, offsets, offsets).map(lambda b: Bounds(b[0], min(b[1:]), max(b[1:]), 8))
positions = st.builds(Position, ids, st.integers(0, 3), offsets, st.sampled_from(((8,), (4, 8))))


@given(positions, bounds, st.booleans())
def test_no_place_comes_twice(
    before: Position,
    now: Bounds,
    is_refused: bool,  # noqa: FBT001 (Hypothesis)
) -> None:
    at = resume(before, now, is_refused=is_refused).at
    assert at.topic_id == now.topic_id
    assert (at.log, at.next) >= (before.log, before.next)


@example(Position("first", 0, 3, (8,)), Bounds("first", 5, 9, 8))
@given(positions, bounds)
def test_nothing_in_the_log_is_skipped(before: Position, now: Bounds) -> None:
    resumed = resume(before, now)
    if before.topic_id == now.topic_id and before.next >= now.earliest:
        assert resumed.at == before
    else:
        assert resumed.at.next == now.earliest
    assert (resumed.missing > 0) is (
        now.earliest > (before.next if before.topic_id == now.topic_id else 0)
    )


def test_the_first_start_begins_where_the_log_does() -> None:
    resumed = resume(None, Bounds("first", 5, 9, 8))
    assert (resumed.at, resumed.missing) == (Position("first", 0, 5, (8,)), 0)


def test_a_log_that_lost_its_end_is_another_log_from_there_on() -> None:
    before, now = Position("first", 0, 100, (8,)), Bounds("first", 0, 90, 8)
    assert resume(before, now).at == before
    assert resume(before, now, is_refused=True).at == Position("first", 1, 90, (8,))


def test_records_from_before_a_topic_grew_are_judged_by_the_former_number() -> None:
    now = Bounds("first", 20, 90, 12)
    for before in (Position("first", 0, 30, (8,)), Position("first", 0, 10, (8,))):
        assert resume(before, now).at.counts == (8,)
    assert resume(Position("second", 0, 30, (8,)), now).at.counts == (12,)
    assert resume(None, now).at.counts == (12,)
