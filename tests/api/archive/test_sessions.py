"""Bars of the archive by days of a time zone when clocks change, and by sessions."""

import itertools
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from api.bars.intervals import DAY, in_zone
from runtime.archive.config import ArchiveConfig
from tests.api.asking import answers
from tests.api.conftest import Filled, Serve
from tests.api.test_intervals import CHANGES, Change, at_ms
from tests.cases import each

from .market import DAY_MS, INSTRUMENT, MINUTE_MS, Market, Quote, append, table_of
from .paging import PATH, lengths_of_pages, pages


@pytest.fixture(scope="module")
def market() -> Market:
    """Quotes around each change, on either side of each midnight too."""
    quotes: list[Quote] = []
    for change in CHANGES:
        noon = at_ms(change.day, "12:00", change.zone)
        times = range(noon - 9 * DAY_MS, noon + 9 * DAY_MS, 30 * MINUTE_MS)
        quotes += [Quote(at - 1, 1 + n % 50 / 8, 1.0) for n, at in enumerate(times)]
    return Market(quotes)


@pytest.fixture(scope="module")
def archive(market: Market, tmp_path_factory: pytest.TempPathFactory) -> ArchiveConfig:
    config = ArchiveConfig(warehouse=str(tmp_path_factory.mktemp("archive")))
    append(table_of(config), market.rows(2**62, late=False))
    return config


@each("change", CHANGES)
async def test_days_around_a_change_are_those_of_all_quotes(
    client: httpx.AsyncClient, market: Market, change: Change
) -> None:
    days = in_zone(DAY, ZoneInfo(change.zone))
    start = at_ms(change.day, "12:00", change.zone) - 3 * DAY_MS
    starts = days.starts(days.first_from(start), days.start_of(start + 5 * DAY_MS))
    whole = market.bars(starts, days)
    lengths = [after - before for before, after in itertools.pairwise(starts)]
    assert sorted(set(lengths)) == sorted({DAY_MS, change.hours * 60 * MINUTE_MS})
    query: dict[str, Any] = {"interval": "1d", "timezone": change.zone, "limit": 2}
    query |= {"start": start, "end": start + 5 * DAY_MS}
    await lengths_of_pages(client, whole, **query)
    several = await pages(client, "/v1/bars", **query, instruments=INSTRUMENT)
    assert [bar for page in several for bar in page["bars"][str(INSTRUMENT)]] == whole


NEW_YORK = ZoneInfo("America/New_York")
TRADED = {"25": ("09:30", "16:00"), "27": ("09:30", "13:00"), "30": ("09:30", "16:00")}
"""By day, around Thanksgiving and a weekend."""


def new_york_ms(text: str) -> int:
    return 1000 * int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp())


@pytest.mark.usefixtures("calendars_here")
async def test_bars_of_a_session_are_those_of_the_quotes_in_it(
    serve: Serve, filled: Filled, tmp_path: str
) -> None:
    times = range(new_york_ms("2020-11-25"), new_york_ms("2020-12-01"), 30 * MINUTE_MS)
    market = Market([Quote(at, 1 + n % 50 / 8, 1.0) for n, at in enumerate(times)])
    inside = Market([quote for quote in market.quotes if is_inside(quote.ts)])
    config = ArchiveConfig(warehouse=str(tmp_path))
    append(table_of(config), market.rows(2**62, late=False))
    filled.instrument(INSTRUMENT, "ABC", attributes={"exchange": "XNYS"})
    days = in_zone(DAY, NEW_YORK)
    starts = days.starts(times.start, days.start_of(times.stop - 1))
    whole = inside.bars(starts, days)
    assert len(whole) == len(TRADED)
    query = {"session": "regular", "interval": "1d", "limit": 1, "start": times.start}
    query["end"] = times.stop
    async with serve(archive=config) as client:
        await answers(client, PATH, **query)
        await lengths_of_pages(client, whole, **query)


def is_inside(ts: int) -> bool:
    moment = datetime.fromtimestamp(ts / 1000, NEW_YORK)
    opens, closes = TRADED.get(f"{moment:%d}", ("", ""))
    return opens <= f"{moment:%H:%M}" < closes
