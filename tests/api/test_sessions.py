"""Bars of a session are made of the minutes in an exchange's trading hours alone."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bars import calendars
from api.bars.aggregation import Window
from api.bars.calendars import exchange_in, load
from api.bars.intervals import parse_interval
from api.bars.reading import BarReader
from api.bars.trading_hours import Calendar, Hours, Session, SessionInterval, in_session
from api.http.metrics import Metrics
from api.market.reading import LatestReader
from api.redis.store import Store
from contracts.bars import BarValue
from contracts.keyspace import FOLDING_FIELD
from contracts.partitioning import instrument_partition
from contracts.times import DAY_MS, HOUR_MS, MINUTE_MS
from contracts.topics import QUOTES

from .asking import answers
from .conftest import NOW_MS, RUNNING_S, TOPOLOGY, Filled, Serve
from .test_bars_past import Worker
from .test_bars_reading import Readers, clock, expected, in_order, pages, value

NEW_YORK: Final = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def loaded() -> Mapping[str, Calendar | str]:
    return asyncio.run(load(["XNYS", "NASDAQ", "XHKG", "XLON", "NOWHERE"]))


def in_new_york(text: str) -> int:
    return 1000 * int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp())


def hours(loaded: Mapping[str, Calendar | str], name: str, session: Session) -> Hours:
    calendar = loaded[name]
    assert isinstance(calendar, Calendar)
    found = calendar.hours(session)
    assert found is not None
    return found


def traded(of: Hours, day: str) -> list[tuple[str, str]]:
    """Return when an exchange opens and closes on a day in New York."""
    first = in_new_york(f"{day}T00:00")
    at = np.flatnonzero((of.opens >= first) & (of.opens < first + DAY_MS))
    return [(clock_time(of.opens[n]), clock_time(of.closes[n])) for n in at]


def clock_time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, NEW_YORK):%H:%M}"


@pytest.mark.parametrize(
    ("day", "regular", "extended"),
    [
        ("2025-11-26", [("09:30", "16:00")], [("04:00", "20:00")]),
        ("2025-11-27", [], []),  # Thanksgiving
        ("2025-11-28", [("09:30", "13:00")], [("04:00", "17:00")]),  # a half day
        ("2025-11-29", [], []),  # a Saturday
        ("2025-03-07", [("09:30", "16:00")], [("04:00", "20:00")]),  # before clocks change
        ("2025-03-10", [("09:30", "16:00")], [("04:00", "20:00")]),  # after it
    ],
)
def test_hours_are_those_of_the_exchange_s_calendar(
    loaded: Mapping[str, Calendar | str],
    day: str,
    regular: list[tuple[str, str]],
    extended: list[tuple[str, str]],
) -> None:
    for name in ("XNYS", "NASDAQ"):
        assert traded(hours(loaded, name, "regular"), day) == regular
        assert traded(hours(loaded, name, "extended"), day) == extended


def test_a_break_is_no_trading_time(loaded: Mapping[str, Calendar | str]) -> None:
    noon = 1000 * int(datetime(2025, 11, 26, 12, 30, tzinfo=ZoneInfo("Asia/Hong_Kong")).timestamp())
    found = hours(loaded, "XHKG", "regular").contain(noon + HOUR_MS * np.arange(-2, 3))
    assert found.tolist() == [True, True, False, True, True]


def test_an_exchange_without_a_calendar_or_extended_hours_has_none(
    loaded: Mapping[str, Calendar | str],
) -> None:
    assert "InvalidCalendarName" in str(loaded["NOWHERE"])
    london = loaded["XLON"]
    assert isinstance(london, Calendar)
    assert london.hours("extended") is None


def test_a_calendar_that_the_package_cannot_make_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(name: str) -> None:
        raise ValueError("special dates are not sessions " * 100)

    monkeypatch.setattr("exchange_calendars.get_calendar", broken)
    reason = calendars.calendar("XTAE")
    assert isinstance(reason, str)
    assert reason.startswith("ValueError: special dates are not sessions")
    assert len(reason) < 300


spans = st.lists(st.integers(0, 400), min_size=2, max_size=12, unique=True).map(sorted)


@given(
    bounds=spans,
    interval=st.sampled_from(["1m", "7m", "1h", "1d"]),
    at=st.integers(-100, 500),
    n=st.integers(1, 8),
)
def test_the_buckets_of_a_session_are_those_that_overlap_it(
    bounds: list[int], interval: str, at: int, n: int
) -> None:
    scale = 17 * MINUTE_MS
    bounds = bounds[: len(bounds) // 2 * 2]
    opens, closes = (np.array(bounds[place::2], np.int64) * scale for place in (0, 1))
    grid, ms = parse_interval(interval), at * scale
    of = SessionInterval(grid.length_ms, grid.text, grid, Hours(opens, closes), "")
    last = grid.start_of(401 * scale)
    naive = [
        start
        for start in grid.starts(grid.start_of(0), last)
        if any(o < start + grid.length_ms and c > start for o, c in zip(opens, closes, strict=True))
    ]
    assert of.starts(grid.start_of(0), last) == naive
    assert of.moved(ms, n) == ([s for s in naive if s > ms][:n] or [ms])[-1]
    before = [start for start in naive if start < ms]
    if before:
        assert of.last(ms, n) == (before[-n:][0], before[-1])
    minutes = range(grid.start_of(0), 401 * scale, 5 * MINUTE_MS)
    inside = [m for m in minutes if any(o <= m < c for o, c in zip(opens, closes, strict=True))]
    assert of.traded(minutes) == inside
    overlaps = (o < ms + n * scale and c > ms for o, c in zip(opens, closes, strict=True))
    assert of.trades(ms, ms + n * scale) == any(overlaps)
    assert not of.trades(ms, ms)
    assert np.array(minutes)[of.rows(np.array(minutes))].tolist() == inside


@pytest.fixture
def readers(store_url: str, filled: Filled, loaded: Mapping[str, Calendar | str]) -> Readers:
    """Reads of an instrument that trades in New York: minutes of six days, some missing."""
    filled.bars(4, {s: value(s // 60) for s in stored_minutes()})
    store = Store(store_url, filled.keys.namespace, Metrics().store_errors)

    @cache
    def hours_of(instrument_id: int, session: Session) -> tuple[Hours, ZoneInfo]:
        return hours(loaded, "XNYS", session), NEW_YORK

    return Readers(BarReader(store, clock, hours_of), LatestReader(store, clock), filled)


def stored_minutes() -> list[int]:
    return [s for s in range(RUNNING_S - 6 * 86_400, RUNNING_S + 1, 420) if s // 420 % 5]


def inside_of(own: Hours) -> dict[int, BarValue]:
    """Return the minutes in trading hours, by a plain look at each."""
    minutes = stored_minutes()
    near = own.closes > 1000 * minutes[0]
    spans = list(zip(own.opens[near].tolist(), own.closes[near].tolist(), strict=True))
    return {
        second: value(second // 60)
        for second in minutes
        if any(first <= 1000 * second < end for first, end in spans)
    }


@pytest.mark.parametrize(
    ("text", "session", "fill"),
    [
        ("1m", "regular", "none"),
        ("30m", "extended", "previous"),
        ("1h", "regular", "previous"),
        ("1d", "extended", "none"),
        ("1d", "regular", "previous"),
        ("1w", "extended", "previous"),
        ("1w", "regular", "none"),
    ],
)
def test_bars_of_a_session_are_those_of_its_minutes(
    *,
    readers: Readers,
    loaded: Mapping[str, Calendar | str],
    text: str,
    session: Session,
    fill: str,
) -> None:
    own = hours(loaded, "XNYS", session)
    interval, inside = (
        in_session(parse_interval(text), None, session, own, NEW_YORK),
        inside_of(own),
    )
    query = {"interval": text, "session": session, "fill": fill}
    window = Window.before(NOW_MS, interval, 7)
    for _ in range(2):  # the second time, buckets that are over were kept
        assert readers.one(limit=7, **query)["bars"] == expected(inside, window, fill)
    start = NOW_MS - 12 * DAY_MS
    whole = expected(inside, Window.between(start, NOW_MS, interval), fill)
    for sort in ("asc", "desc"):
        found = pages(readers, limit=150, start=start, sort=sort, **query)
        assert [bar for page in islice(found, 50) for bar in page] == in_order(whole, sort)
    if fill == "none":
        many = readers.many([4], interval=text, session=session, start=start)
        assert many["bars"]["4"] == whole


def test_hours_that_are_over_are_kept_without_what_is_outside_the_session(
    readers: Readers, loaded: Mapping[str, Calendar | str]
) -> None:
    """The newest quote came after Friday's close, so that day is read each time."""
    newest = Worker(readers.filled, 10_081, {47 * 60}).newest_s
    until_then = [s for s in stored_minutes() if s <= newest]
    readers.filled.bars(4, {s: value(s // 60) for s in [*until_then, newest]})
    own = hours(loaded, "XNYS", "regular")
    interval = in_session(parse_interval("1d"), None, "regular", own, NEW_YORK)
    window = Window.before(NOW_MS, interval, 4)
    rounds: list[int] = []
    for _ in range(2):
        rounds.clear()
        found = readers.one(rounds, interval="1d", limit=4, session="regular")
        assert found["bars"] == expected(inside_of(own), window)
    assert rounds[0] == 2  # the position, and the newest minute with the last one kept


def test_days_of_a_session_are_trading_days(readers: Readers) -> None:
    """The clock is at a Sunday evening."""
    found = readers.one(interval="1d", session="regular", limit=3)["bars"]
    days = [datetime.fromtimestamp(bar["t"] / 1000, NEW_YORK) for bar in found]
    assert [f"{day:%a %H:%M}" for day in days] == ["Wed 00:00", "Thu 00:00", "Fri 00:00"]
    tokyo = ZoneInfo("Asia/Tokyo")  # its Monday has begun, whose session has not
    utc = readers.one(interval="1d", session="regular", limit=2, timezone=tokyo)
    assert datetime.fromtimestamp(utc["bars"][0]["t"] / 1000, UTC).hour == 15


def test_a_bar_that_misses_minutes_outside_the_session_alone_is_not_partial(
    readers: Readers,
) -> None:
    """Redis retains what began on Friday at nine, half an hour before the session."""
    retained = (1000 * RUNNING_S - in_new_york("2021-08-13T09:00")) // MINUTE_MS + 1
    key = readers.filled.keys.position(QUOTES, instrument_partition(4, TOPOLOGY.quotes))
    folding = f'{{"bars_retention_minutes":{retained}}}'
    readers.filled.store.hset(key, FOLDING_FIELD, folding)
    query = {"interval": "1d", "limit": 2}
    for session, partial in (("regular", [True, False]), ("extended", [True, True])):
        for more in ({}, {"start": NOW_MS - 4 * DAY_MS}):
            bars = readers.one(session=session, **query, **more)["bars"]
            assert [bar.get("partial", False) for bar in bars] == partial


REMEDY: Final = "set its attribute `exchange` in the catalog to a MIC, such as XNYS"
WITHOUT: Final = {
    "LON": (5, "XLON", "extended hours of XLON are not known: ask for regular ones"),
    "BAD": (
        6,
        "\u00c9T\u00c9",
        rf"the exchange '\xc9T\xc9' of instrument 6 has no calendar: {REMEDY}",
    ),
    "NONE": (7, None, f"instrument 7 has no exchange: {REMEDY}"),
}
"""Instruments without extended hours: id, exchange, and the reason in answers."""


@pytest.mark.usefixtures("calendars_here")
async def test_the_catalog_names_an_instrument_s_exchange_or_the_reason_is_in_the_answer(
    serve: Serve, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendars, "AT_ONCE", 2)  # of three
    filled.bars(4, {s: value(s // 60) for s in stored_minutes()})
    filled.instrument(4, "ABC", attributes={"exchange": "xnys"})
    filled.instrument(8, "NEW", attributes={"exchange": "XNYS"})
    for symbol, (number, name, _) in WITHOUT.items():
        filled.instrument(number, symbol, attributes={"exchange": name} if name else {})
    query = "session=extended&interval=1d"
    async with serve() as client:
        one = await answers(client, f"/v1/instruments/ABC/bars?{query}&limit=2")
        assert len(one["bars"]) == 2
        path = f"/v1/bars?{query}&limit=4&instruments="
        many = await answers(client, f"{path}ABC,LON,BAD,NONE,NEW,XYZ")
        reasons = {symbol: reason for symbol, (_, _, reason) in WITHOUT.items()}
        assert (many["bars"], many["without_hours"]) == ({"ABC": one["bars"]}, reasons)
        assert many["unknown"] == ["XYZ", "NEW"]
        assert "without_hours" not in await answers(client, f"{path}ABC")
        as_csv = await client.get(f"{path}NONE", headers={"Accept": "text/csv"})
        assert set(json.loads(as_csv.headers["Tickrec-Answer"])["without_hours"]) == {"NONE"}
        for symbol, reason in reasons.items():
            answer = await client.get(f"/v1/instruments/{symbol}/bars?{query}")
            assert answer.status_code == 422
            assert reason in answer.json()["detail"]


async def test_without_the_package_a_session_is_refused_with_a_remedy(
    serve: Serve, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendars, "find_spec", lambda name: None)
    filled.instrument(4, "ABC", attributes={"exchange": "XNYS"})
    async with serve() as client:
        answer = await client.get("/v1/instruments/ABC/bars?session=regular")
        assert answer.status_code == 422
        assert "install tickrec[sessions]" in answer.json()["detail"]


def test_an_exchange_is_a_text_of_some_characters() -> None:
    assert exchange_in({"exchange": " xnys "}) == "XNYS"
    for name in (5, " ", "X" * 17, "X\0", "X\nY"):
        assert exchange_in({"exchange": name}) is None
