"""Days and weeks of a time zone, on the days that clocks change, are those of all quotes."""

import itertools
from collections.abc import AsyncIterator
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from api.bars.intervals import DAY, in_zone, parse_interval
from runtime.archive.config import ArchiveConfig
from tests.api.conftest import Serve
from tests.api.test_local_days import CHANGES, Change, at_ms

from .market import DAY_MS, INSTRUMENT, MINUTE_MS, Market, Quote, append, table_of
from .paging import bars_of_pages, pages


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


@pytest.fixture
async def client(serve: Serve, archive: ArchiveConfig) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(archive=archive) as serving:
        yield serving


@pytest.mark.parametrize("change", CHANGES, ids=str)
async def test_days_around_a_change_are_those_of_all_quotes(
    client: httpx.AsyncClient, market: Market, change: Change
) -> None:
    days = in_zone(DAY, ZoneInfo(change.zone))
    start = at_ms(change.day, "12:00", change.zone) - 3 * DAY_MS
    starts = days.starts(days.first_from(start), days.start_of(start + 5 * DAY_MS))
    whole = market.bars(starts, days, filled=False)
    lengths = [after - before for before, after in itertools.pairwise(starts)]
    assert sorted(set(lengths)) == sorted({DAY_MS, change.hours * 60 * MINUTE_MS})
    query: dict[str, Any] = {"interval": "1d", "timezone": change.zone, "limit": 2}
    query |= {"start": start, "end": start + 5 * DAY_MS}
    for sort in ("asc", "desc"):
        found = await bars_of_pages(client, **query, sort=sort)
        assert [bar for page in found for bar in page] == whole[:: 1 if sort == "asc" else -1]
        several = await pages(client, "/v1/bars", **query, sort=sort, instruments=INSTRUMENT)
        bars = [bar for page in several for bar in page["bars"][str(INSTRUMENT)]]
        assert bars == whole[:: 1 if sort == "asc" else -1]


async def test_a_week_that_clocks_are_turned_back_in_is_an_hour_longer(
    client: httpx.AsyncClient, market: Market
) -> None:
    change = CHANGES[1]
    weeks = in_zone(parse_interval("1w"), ZoneInfo(change.zone))
    start = weeks.start_of(at_ms(change.day, "12:00", change.zone))
    query = {"interval": "1w", "timezone": change.zone, "start": start, "limit": 1}
    first = (await bars_of_pages(client, **query))[0]
    assert first == market.bars([start], weeks, filled=False)
    assert weeks.moved(start, 1) - start == 7 * DAY_MS + 60 * MINUTE_MS
