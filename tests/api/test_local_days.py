"""Where local days and weeks start, above all on the days that clocks change."""

from datetime import UTC, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.bars.aggregation import Window
from api.bars.intervals import DAY, MINUTE, LocalInterval, in_zone, parse_interval, parse_zone
from contracts.times import DAY_MS, MAX_TS_MS


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
