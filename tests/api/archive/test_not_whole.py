"""Every endpoint of bars reads from the archive what Redis has only in part."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from contracts.keyspace import LINEAGE_FIELD, WHOLE_FIELD
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES
from runtime.archive.config import ArchiveConfig
from tests.api.conftest import NOW_MS, TOPOLOGY, Filled, Serve
from tests.cases import each

from .market import (
    ARCHIVED_ONLY,
    DAY_MS,
    INSTRUMENT,
    MINUTE_MS,
    RUNNING_MS,
    Market,
    Quote,
    append,
    table_of,
)
from .paging import ask, lengths_of_pages, pages

OTHER: Final = 9
LOST_MS: Final = RUNNING_MS - 12 * MINUTE_MS
"""Redis was flushed, and the log had already dropped earlier records."""


Rebuilt = Callable[..., None]


@pytest.fixture
def rebuilt(filled: Filled, market: Market) -> Rebuilt:
    """Write a worker's bars and position for the quotes since `LOST_MS`."""

    def write(**position: int) -> None:
        late(market).held(filled)
        key = filled.keys.position(QUOTES, instrument_partition(INSTRUMENT, TOPOLOGY.quotes))
        filled.store.hset(key, mapping={**position})

    return write


def late(market: Market) -> Market:
    """Return the quotes that the log still had: of its first minute some."""
    return Market([quote for quote in market.quotes if quote.ts >= LOST_MS - MINUTE_MS // 2])


@pytest.mark.parametrize(
    "position",
    [
        {WHOLE_FIELD: LOST_MS // 1000 + 60},  # the log had dropped its first records
        {WHOLE_FIELD: 0, LINEAGE_FIELD: 1000 * NOW_MS},  # the log was a new one
    ],
    ids=["cut", "new"],
)
async def test_after_redis_was_rebuilt_from_a_shorter_log_the_bars_are_those_of_all_quotes(
    client: httpx.AsyncClient, rebuilt: Rebuilt, market: Market, position: dict[str, int]
) -> None:
    rebuilt(**position)
    for limit, interval in ((50, "1m"), (1000, "1m"), (3, "1h"), (2, "1d")):
        found = await ask(client, limit=limit, interval=interval)
        assert found["bars"] == market.last(limit, interval)
        assert "gap" not in found
    start = RUNNING_MS - 50 * MINUTE_MS
    await lengths_of_pages(client, market.since(start, "1m"), start=start, limit=7)


async def test_what_neither_has_is_a_gap_and_bars_in_it_are_partial(
    serve: Serve, rebuilt: Rebuilt, market: Market, tmp_path: Path
) -> None:
    config = ArchiveConfig(warehouse=str(tmp_path))
    behind_ms = LOST_MS - 20 * MINUTE_MS
    append(table_of(config), market.rows(behind_ms, late=False))
    newest = max(minute for minute in market.minutes if minute < behind_ms)
    whole_ms = LOST_MS + MINUTE_MS
    rebuilt(**{WHOLE_FIELD: whole_ms // 1000})
    async with serve(archive=config) as client:
        found = await ask(client, limit=60)
        assert found["gap"] == {"start": newest + MINUTE_MS, "end": whole_ms}
        starts = [bar["t"] for bar in found["bars"]]
        held = {quote.ts // MINUTE_MS * MINUTE_MS for quote in late(market).quotes}
        either = (minute for minute in market.minutes if minute <= newest or minute in held)
        assert starts == [minute for minute in either if minute > RUNNING_MS - 60 * MINUTE_MS]
        in_gap = [t for t in starts if newest < t < whole_ms]
        assert in_gap
        assert [bar["t"] for bar in found["bars"] if "partial" in bar] == in_gap
        many = await ask(client, "/v1/bars", instruments=str(INSTRUMENT), limit=60)
        assert (many["bars"][str(INSTRUMENT)], many["gap"]) == (found["bars"], found["gap"])


@each(
    ("interval", "limit", "sort"),
    [
        ("1m", 10_000, "asc"),
        ("1m", 300, "desc"),
        ("5m", 70, "asc"),
        ("1h", 3, "desc"),
        ("1w", 1, "asc"),
    ],
)
async def test_pages_of_several_instruments_are_all_quotes(
    *,
    archived: httpx.AsyncClient,
    filled: Filled,
    market: Market,
    interval: str,
    limit: int,
    sort: str,
) -> None:
    other = Market([Quote(NOW_MS - 1, 5.0, 1.0)])
    other.held(filled, OTHER)
    start = min(market.minutes) - 8 * DAY_MS
    named = f"{INSTRUMENT},{OTHER},{ARCHIVED_ONLY},21,XYZ"
    query = {"instruments": named, "start": start, "interval": interval, "limit": limit}
    found: dict[str, list[Any]] = {}
    unknown: list[str] = []
    for page in await pages(archived, "/v1/bars", **query, sort=sort):
        assert sum(map(len, page["bars"].values())) <= limit
        assert "gap" not in page
        unknown += [name for name in page["unknown"] if name != "XYZ"]
        assert "XYZ" in page["unknown"]
        for name, bars in page["bars"].items():
            found.setdefault(name, []).extend(bars)
    whole = market.since(start, interval)
    assert found.pop(str(INSTRUMENT)) == whole[:: 1 if sort == "asc" else -1]
    assert found.pop(str(OTHER)) == other.since(start, interval)
    assert [bar["c"] for bar in found.pop(str(ARCHIVED_ONLY))] == [2]
    assert not found
    assert unknown == ["21"]


async def test_a_page_of_several_reads_so_many_days_of_the_archive_at_most(
    archived: httpx.AsyncClient, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.bars.request.MOST_DAYS", 8)
    start = min(market.minutes)
    named = f"{INSTRUMENT},{ARCHIVED_ONLY}"
    found = await pages(archived, "/v1/bars", instruments=named, start=start, interval="1d")
    assert [sorted(page["bars"]) for page in found] == [[str(INSTRUMENT)], [str(ARCHIVED_ONLY)]]
    assert [page["unknown"] for page in found] == [[], []]


async def test_snapshots_are_those_of_all_quotes_or_refused_if_they_are_of_too_many_days(
    archived: httpx.AsyncClient, filled: Filled, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await ask(archived, "/v1/snapshots", instruments=f"{INSTRUMENT},XYZ")
    snapshot = found["snapshots"][str(INSTRUMENT)]
    days = market.last(2, "1d", NOW_MS + 1)
    assert [snapshot["previous_day"], snapshot["day"]] == days
    own = [snapshot["previous_minute"], snapshot["minute"]]
    assert [bar for bar in own if bar] == market.last(2, "1m", NOW_MS + 1)
    assert found["unknown"] == ["XYZ"]
    monkeypatch.setattr("api.market.reading.MOST_DAYS", 2)
    Market([Quote(NOW_MS - 1, 5.0, 1.0)]).held(filled, OTHER)
    both = {"instruments": f"{INSTRUMENT},{OTHER}"}
    answer = await archived.get("/v1/snapshots", params=both)
    assert answer.status_code == 422
    assert "ask for 1 at a time" in answer.json()["detail"]
