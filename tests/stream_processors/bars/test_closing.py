"""Which minutes are closed, by event time and by the clock."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.times import MINUTE_MS
from stream_processors.bars.closing import IDLE_AFTER_S, Closing
from stream_processors.bars.table import NO_MINUTE

LATE_BY_S = 10
NOW_S = 1_000_000.0


class Clock:
    now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


def closing_at(*ts_s: float, closed_minute: int = NO_MINUTE) -> tuple[Closing, Clock]:
    """Return the newest closed minute after quotes of these event times."""
    clock = Clock()
    closing = Closing(LATE_BY_S, closed_minute, clock)
    closing.note(np.array([ts * 1000 for ts in ts_s], np.int64))
    return closing, clock


def test_a_minute_is_closed_once_the_watermark_has_passed_its_end_and_no_sooner() -> None:
    assert closing_at(129.999)[0].advance(2) == 0
    assert closing_at(130)[0].advance(2) == 1
    assert closing_at()[0].advance(NO_MINUTE) == NO_MINUTE
    assert closing_at(125, closed_minute=5)[0].advance(6) == 5, "by the worker before"


@given(st.lists(st.integers(0, 600_000), min_size=1, max_size=9))
def test_closed_minutes_stay_closed_and_the_order_of_quotes_does_not_matter(
    ts_ms: list[int],
) -> None:
    closing, _ = closing_at()
    closed = []
    for ts in ts_ms:
        closing.note(np.array([ts]))
        closed.append(closing.advance(ts // MINUTE_MS))
    assert closed == sorted(closed)
    assert closed[-1] == max(NO_MINUTE, (max(ts_ms) - LATE_BY_S * 1000) // MINUTE_MS - 1)


def test_a_feed_that_is_ahead_of_the_clock_closes_no_minute_that_has_not_ended() -> None:
    now_minute = int(NOW_S) // 60
    closing, clock = closing_at(NOW_S + 290)
    assert closing.advance(now_minute + 4) == now_minute - 1
    clock.now_s += 60
    assert closing.advance(now_minute + 4) == now_minute


def test_when_quotes_stop_the_clock_closes_minutes_with_a_bar_and_none_beyond() -> None:
    closing, clock = closing_at(125)
    clock.now_s += IDLE_AFTER_S + LATE_BY_S - 1
    assert not closing.is_due(oldest=1)
    assert closing.advance(2) == 0
    closing.note(np.array([], np.int64))  # of invalid records
    clock.now_s += 1
    assert closing.is_due(oldest=1)
    assert closing.advance(2) == 2


def test_the_clock_closes_no_minute_before_its_end() -> None:
    now_minute = int(NOW_S) // 60
    closing, clock = closing_at(NOW_S)
    clock.now_s = now_minute * 60 + 70.0
    closing.note(np.array([int(NOW_S * 1000)]))
    clock.now_s += IDLE_AFTER_S + LATE_BY_S
    assert not closing.is_due(oldest=now_minute + 2)
    assert closing.advance(now_minute + 5) == now_minute + 1
