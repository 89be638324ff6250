"""Which intervals and texts of times there are, and where buckets start."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.bars.aggregation import Window
from api.bars.intervals import LONGEST_MS, UNITS_MS, Interval, parse_interval
from api.bars.intervals import MINUTE as ONE
from api.http.parsing import (
    parse_time,
)
from contracts.times import DAY_MS, MAX_TS_MS, MINUTE_MS

MINUTE = 27_151_020 * MINUTE_MS
"""A minute that also starts an hour."""
MONDAY = 4 * DAY_MS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
lengths = ("1m", "2m", "5m", "7m", "15m", "1h", "4h", "1d", "5d", "1w")
intervals = st.sampled_from([parse_interval(text) for text in lengths])
TIMES = st.integers(0, 4_000_000_000_000)


@given(unit=st.sampled_from(list(UNITS_MS)), n=st.integers(1, 20_000), at=TIMES)
def test_any_whole_multiple_up_to_a_week_is_an_interval(unit: str, n: int, at: int) -> None:
    length_ms = n * UNITS_MS[unit]
    if length_ms > LONGEST_MS:
        with pytest.raises(ValueError, match="at most a week"):
            parse_interval(f"{n}{unit}")
        return
    interval = parse_interval(f"{n}{unit}")
    start = interval.start_of(at)
    assert interval.length_ms == length_ms
    assert start <= at < interval.moved(start, 1) == start + length_ms
    assert interval.first_from(start) == start
    assert interval.first_from(start + 1) == interval.moved(start, 1)


@pytest.mark.parametrize(
    ("text", "same"), [("60m", "1h"), ("24h", "1d"), ("7d", "1w"), ("10080m", "1w"), ("90m", "90m")]
)
def test_an_interval_has_one_name(text: str, same: str) -> None:
    assert parse_interval(text).text == same
    assert parse_interval(text) == parse_interval(same)


@pytest.mark.parametrize(
    "text", ["", "m", "0m", "05m", "1", "1.5h", "-1m", "1M", "1y", " 1m", "1m\n", "\u0661m", "2w"]
)
def test_what_is_no_interval_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number of m, h, d or w, such as 5m"):
        parse_interval(text)


@example(end=MINUTE, interval=ONE, limit=1)
@example(end=MINUTE + 1, interval=ONE, limit=1)
@given(end=TIMES, interval=intervals, limit=st.integers(1, 1000))
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


@given(end=TIMES, interval=intervals, limit=st.integers(1, 50))
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


@given(
    ms=st.integers(86_400_000, MAX_TS_MS - 86_400_000),
    offset_minutes=st.integers(-14 * 60, 14 * 60),
    encoded=st.booleans(),
)
def test_a_time_may_be_rfc_3339_of_any_offset_even_with_an_unencoded_plus(
    *, ms: int, offset_minutes: int, encoded: bool
) -> None:
    zone = timezone(timedelta(minutes=offset_minutes))
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)
    text = moment.isoformat(timespec="milliseconds")
    assert parse_time(text if encoded else text.replace("+", " ")) == ms
