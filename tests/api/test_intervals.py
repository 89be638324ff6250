"""Intervals, time zones and texts of times, where buckets start, and pages of them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.bars.aggregation import Window
from api.bars.answers import Bar
from api.bars.intervals import (
    DAY,
    LONGEST_MS,
    MINUTE,
    UNITS_MS,
    Interval,
    LocalInterval,
    in_zone,
    parse_interval,
    parse_zone,
)
from api.bars.pages import MAX_TOKEN_CHARACTERS, Position, fill_page, parse_token
from api.http.parsing import parse_time
from contracts.messages import MAX_INSTRUMENT_ID
from contracts.times import DAY_MS, MAX_TS_MS, MINUTE_MS

AT_MS = 27_151_020 * MINUTE_MS
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


@example(end=AT_MS, interval=MINUTE, limit=1)
@example(end=AT_MS + 1, interval=MINUTE, limit=1)
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


class Change(NamedTuple):
    """A day on which the clocks of a zone change."""

    zone: str
    day: str
    hours: int
    """its length"""


CHANGES: Final = (
    Change("America/New_York", "2021-03-14", 23),
    Change("America/New_York", "2020-11-01", 25),
    Change("Australia/Sydney", "2020-10-04", 23),
    Change("Australia/Sydney", "2021-04-04", 25),
)


def at_ms(day: str, time: str, zone: str) -> int:
    return (
        int(datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=ZoneInfo(zone)).timestamp())
        * 1000
    )


def days_in(zone: str) -> LocalInterval:
    interval = in_zone(DAY, ZoneInfo(zone))
    assert isinstance(interval, LocalInterval)
    return interval


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("America/Havana", "2021-03-14", "01:00"),  # clocks are turned forward at midnight
        ("America/Havana", "2020-11-01", "00:00"),  # 00:00 comes twice
    ],
)
def test_a_day_starts_with_its_first_minute(zone: str, day: str, first: str) -> None:
    start = at_ms(day, first, zone)
    assert days_in(zone).start_of(start) == start
    assert days_in(zone).start_of(start - 1) < start


def test_a_day_that_a_zone_skipped_has_no_bucket() -> None:
    days = days_in("Pacific/Apia")
    before, after = (at_ms(day, "00:00", "Pacific/Apia") for day in ("2011-12-29", "2011-12-31"))
    assert days.starts(before, after) == [before, after]
    assert days.moved(before, 1) == after


@example(  # a week that clocks change in
    zone="America/New_York", at=at_ms("2021-03-14", "23:59", "America/New_York"), days=7
)
@given(
    zone=st.sampled_from(["America/New_York", "Europe/Berlin", "Asia/Kolkata", "Pacific/Auckland"]),
    at=st.integers(0, 4_000_000_000_000),
    days=st.integers(1, 7),
)
def test_buckets_of_local_days_are_a_calendar_s(zone: str, at: int, days: int) -> None:
    interval = in_zone(parse_interval(f"{days}d"), ZoneInfo(zone))
    start = interval.start_of(at)
    end = interval.moved(start, 1)
    assert start <= at < end
    first, next_first = (datetime.fromtimestamp(ms // 1000, ZoneInfo(zone)) for ms in (start, end))
    assert (first.hour, first.minute) == (0, 0)
    assert (next_first.date() - first.date()).days == days
    assert (first.date() - datetime(1970, 1, 5, tzinfo=UTC).date()).days % days == 0
    assert interval.first_from(start) == start
    assert interval.first_from(start + 1) == end
    assert interval.start_of(np.array([start, at, end - 1, end])).tolist() == [start] * 3 + [end]


def test_the_ends_of_time_are_days_too() -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        days = days_in(zone)
        assert 0 <= MAX_TS_MS - days.start_of(MAX_TS_MS) < DAY_MS
        assert len(Window.before(1, days, 1_000).starts()) == 1_000


def test_zones_are_those_of_the_database() -> None:
    assert parse_zone("") is parse_zone("UTC") is None
    assert in_zone(MINUTE, None) is MINUTE
    for name in (
        "Mars",
        "../etc/passwd",
        "right/Europe/Berlin",
        "localtime",
        "america/new_york",
        "EST5EDT ",
    ):
        with pytest.raises(ValueError, match="must be a name of the IANA time zone database"):
            parse_zone(name)


positions = st.builds(
    Position,
    st.integers(0, MAX_INSTRUMENT_ID),
    st.integers(0, MAX_TS_MS),
    st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
)


@given(positions)
def test_a_token_says_where_a_page_begins(position: Position) -> None:
    token = position.token(parse_interval("15m"), "asc")
    assert parse_token(token) == msgspec.structs.replace(position, of="15m")
    assert len(token) <= MAX_TOKEN_CHARACTERS


@pytest.mark.parametrize(
    "text",
    ["x", "AAAA", "é", "W10", "WzRd", "a b", "WzQsMCxudWxsXQ==!", "x" * 5000, "eyJpIjo0fQ"]
    + [
        Position(*parts).token(MINUTE, "asc")
        for parts in ((-1, 0), (4, -1), (2**63, 0), (4, 0, -1.0), (4, 0, 0.0))
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be the `next_page_token` of an answer"):
        parse_token(text)


def test_a_page_ends_before_the_next_one_though_a_day_was_skipped() -> None:
    days = days_in("Pacific/Apia")
    last_s, next_s = (datetime(2011, 12, day, 12, tzinfo=UTC).timestamp() for day in (28, 30))
    first, after = (days.start_of(1000 * int(at_s)) for at_s in (last_s, next_s))
    window, rest = Window(first, days.moved(after, 3), days), Position(4, after)
    bar = msgspec.structs.replace(flat(1), t=first)
    page, position = fill_page([bar], window, Position(4, first), rest, 9, 100 * MINUTE_MS)
    assert [bar.t for bar in page] == [first, days.moved(first, 1)]
    assert position == Position(4, after, bar.c)


def flat(minute: int) -> Bar:
    price = minute + 1.5
    return Bar(minute * MINUTE_MS, price, price, price, price, 1, 1, price, closed=True)
