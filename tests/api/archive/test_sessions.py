"""Bars of a session that the archive has: holidays and half days."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from api.bars.intervals import DAY, in_zone
from runtime.archive.config import ArchiveConfig
from tests.api.conftest import Filled, Serve
from tests.patience import until_true

from .market import INSTRUMENT, MINUTE_MS, Market, Quote, append, table_of
from .paging import PATH, lengths_of_pages

NEW_YORK = ZoneInfo("America/New_York")
TRADED = {"25": ("09:30", "16:00"), "27": ("09:30", "13:00"), "30": ("09:30", "16:00")}
"""By day, around Thanksgiving and a weekend."""


def at_ms(text: str) -> int:
    return 1000 * int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp())


@pytest.mark.usefixtures("calendars_here")
async def test_bars_of_a_session_are_those_of_the_quotes_in_it(
    serve: Serve, filled: Filled, tmp_path: str
) -> None:
    times = range(at_ms("2020-11-25"), at_ms("2020-12-01"), 30 * MINUTE_MS)
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

        @until_true
        async def loaded() -> None:
            assert (await client.get(PATH, params=query)).status_code == 200

        await loaded()
        await lengths_of_pages(client, whole, **query)


def is_inside(ts: int) -> bool:
    moment = datetime.fromtimestamp(ts / 1000, NEW_YORK)
    opens, closes = TRADED.get(f"{moment:%d}", ("", ""))
    return opens <= f"{moment:%H:%M}" < closes
