"""Each partition is written once per interval, at its own moment."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from stream_processors.partition.rules import FlushTimes

intervals = st.floats(0.05, 600)
partitions = st.integers(1, 64).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))


@given(intervals, partitions, st.floats(0, 1e6))
def test_the_first_write_is_due_at_once_and_the_next_within_an_interval(
    interval_s: float, of: tuple[int, int], now_s: float
) -> None:
    times = FlushTimes(interval_s, *of)
    assert times.in_s(now_s) == 0
    times.written(now_s)
    assert 0 < times.in_s(now_s) <= interval_s * (1 + 2e-6)


@given(intervals, st.integers(2, 64), st.floats(0, 1e6))
def test_partitions_written_at_once_are_due_spread_over_the_next_interval(
    interval_s: float, n: int, now_s: float
) -> None:
    due = []
    for partition in range(n):
        times = FlushTimes(interval_s, partition, n)
        times.written(now_s)
        due.append(times.in_s(now_s))
    due.sort()
    gaps = [later - earlier for earlier, later in itertools.pairwise(due)]
    assert min(gaps) > interval_s / n * 0.99 - 1e-6
    assert max(gaps) < interval_s / n * 1.01 + 1e-6


@given(intervals, partitions, st.lists(st.floats(0, 3), min_size=20, max_size=20))
def test_a_slow_write_delays_the_next_and_is_not_caught_up(
    interval_s: float, of: tuple[int, int], took: list[float]
) -> None:
    times, now_s, began = FlushTimes(interval_s, *of), 0.0, []
    for intervals_long in took:
        now_s += times.in_s(now_s)
        began.append(now_s)
        times.written(now_s)
        now_s += intervals_long * interval_s
    partition, n = of
    periods = {math.floor(at / interval_s - partition / n + 1e-6) for at in began}
    assert len(periods) == len(began)
