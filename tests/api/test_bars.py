"""Window, roll-up and fill of bars."""

import itertools
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from api.bars.aggregation import (
    Window,
    fill_previous,
    legacy_bars,
    minute_bars,
    roll_up,
)
from api.bars.answers import LegacyBar
from api.bars.intervals import MINUTE as ONE
from api.bars.intervals import Interval, parse_interval
from contracts.bars import BarValue, Minute
from contracts.times import DAY_MS, MINUTE_MS

MINUTE = 27_151_020 * MINUTE_MS
"""A minute that also starts an hour."""
MONDAY = 4 * DAY_MS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

prices = st.floats(0.01, 1e6)
lengths = ("1m", "2m", "5m", "7m", "15m", "1h", "4h", "1d", "5d", "1w")
intervals = st.sampled_from([parse_interval(text) for text in lengths])
ends = st.integers(0, 4_000_000_000_000)
limits = st.integers(1, 1000)


@st.composite
def bar_values(draw: st.DrawFn) -> BarValue:
    o, c, x, y = (draw(prices) for _ in range(4))
    h, low = max(o, c, x, y), min(o, c, x, y)
    v = draw(st.sampled_from([0.0, 1.0, 250.0]))
    return BarValue(o, h, low, c, v, draw(st.integers(1, 9)), v * x, 0, 1, (0, 0))


@st.composite
def windows_with_minutes(draw: st.DrawFn) -> tuple[Window, list[tuple[int, BarValue]]]:
    window = Window.before(MINUTE + draw(st.integers(1, 7_200_000)), draw(intervals), 4)
    places = draw(st.sets(st.sampled_from(list(window.minutes())), max_size=20))
    return window, [(minute, draw(bar_values())) for minute in sorted(places)]


@example(end=MINUTE, interval=ONE, limit=1)
@example(end=MINUTE + 1, interval=ONE, limit=1)
@given(end=ends, interval=intervals, limit=limits)
def test_a_window_is_the_last_buckets_that_start_before_its_end(
    end: int, interval: Interval, limit: int
) -> None:
    starts = Window.before(end, interval, limit).starts()
    length = interval.length_ms
    assert len(starts) == limit
    if interval.text == "1w":
        assert {(EPOCH + timedelta(milliseconds=start)).weekday() for start in starts} == {0}
    assert all((start - MONDAY) % length == 0 for start in starts)
    assert starts[-1] < end <= starts[-1] + length


@given(end=ends, interval=intervals, limit=st.integers(1, 50))
def test_the_minutes_of_a_window_are_those_of_its_buckets_since_the_epoch(
    end: int, interval: Interval, limit: int
) -> None:
    window = Window.before(end, interval, limit)
    of_buckets = (
        minute
        for start in window.starts()
        for minute in range(start, start + window.interval.length_ms, MINUTE_MS)
    )
    assert list(window.minutes()) == [minute for minute in of_buckets if minute >= 0]


@given(windows_with_minutes())
def test_minutes_that_are_stored_become_bars_and_the_others_none(
    given_minutes: tuple[Window, list[tuple[int, BarValue]]],
) -> None:
    window, minutes = given_minutes
    stored = {minute: msgspec.json.encode(bar) for minute, bar in minutes}
    values = [stored.get(minute) for minute in window.minutes()]
    assert minute_bars(window.minutes(), values) == [
        (minute, msgspec.convert(bar, Minute, from_attributes=True)) for minute, bar in minutes
    ]


@given(windows_with_minutes())
def test_a_bucket_opens_with_its_first_minute_and_closes_with_its_last(
    given_minutes: tuple[Window, list[tuple[int, BarValue]]],
) -> None:
    window, minutes = given_minutes
    rolled = {bar.t: bar for bar in roll_up(minutes, window, MINUTE)}
    for start in window.starts():
        inside = [
            bar for minute, bar in minutes if start <= minute < window.interval.moved(start, 1)
        ]
        assert (start in rolled) == bool(inside)
        if inside:
            bar = rolled[start]
            assert (bar.o, bar.c) == (inside[0].o, inside[-1].c)
            assert (bar.h, bar.l) == (max(m.h for m in inside), min(m.l for m in inside))
            assert (bar.v, bar.n) == (sum(m.v for m in inside), sum(m.n for m in inside))
            assert bar.vw is None if bar.v == 0 else bar.l <= (bar.vw or 0) <= bar.h


@given(st.lists(bar_values(), min_size=1, max_size=5))
def test_minute_bars_are_served_to_the_last_digit(values: list[BarValue]) -> None:
    window = Window.before(MINUTE + len(values) * MINUTE_MS, ONE, len(values))
    rolled = roll_up(list(zip(window.starts(), values, strict=True)), window, MINUTE)
    assert [(b.o, b.h, b.l, b.c, b.v, b.n) for b in rolled] == [
        (v.o, v.h, v.l, v.c, v.v, v.n) for v in values
    ]


def test_an_average_of_equal_prices_is_that_price() -> None:
    volume, price = 3.0, 0.1
    assert price * volume / volume != price
    minute = msgspec.structs.replace(_bar_value(price), v=volume, pv=price * volume)
    window = Window.before(MINUTE + 1, ONE, 1)
    assert roll_up([(MINUTE, minute)], window, MINUTE)[0].vw == price


def test_a_bar_is_closed_once_its_time_is_over() -> None:
    window = Window.before(MINUTE + 60_000, ONE, 1)
    minutes = [(MINUTE, _bar_value(1))]
    assert not roll_up(minutes, window, MINUTE + 59_999)[0].closed
    assert roll_up(minutes, window, MINUTE + 60_000)[0].closed


@given(windows_with_minutes())
def test_filling_repeats_the_previous_close_from_the_first_bar_on(
    given_minutes: tuple[Window, list[tuple[int, BarValue]]],
) -> None:
    window, minutes = given_minutes
    bars = roll_up(minutes, window, MINUTE)
    filled = fill_previous(bars, window, MINUTE)
    assert [bar for bar in filled if bar.n] == bars
    first = bars[0].t if bars else window.last_ms + 1
    assert [bar.t for bar in filled] == [start for start in window.starts() if start >= first]
    for before, bar in itertools.pairwise(filled):
        if bar.n == 0:
            assert (bar.o, bar.h, bar.l, bar.c) == (before.c,) * 4
            is_closed = bar.t + window.interval.length_ms <= MINUTE
            assert (bar.v, bar.vw, bar.closed) == (0, None, is_closed)


def test_the_first_version_names_minutes_in_utc() -> None:
    bar = BarValue(1.5, 4, 1, 3.25, 0, 2, 0, 0, 0, (0, 0))
    assert legacy_bars(4, [(1_629_156_720_000, bar)]) == {
        "2021-08-16 23:32:00": LegacyBar(
            4, price_close=3.25, price_high=4, price_low=1, price_open=1.5
        )
    }


def _bar_value(price: float) -> BarValue:
    return BarValue(price, price, price, price, 0, 1, 0, 0, 0, (0, 0))
