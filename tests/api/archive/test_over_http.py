"""Bars older than Redis retains: equal to those of all quotes, or reported as missing."""

from pathlib import Path

import httpx
import pytest

from api.bars import request as question
from api.bars.archive import files
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
    RETAINED,
    RUNNING_MS,
    Market,
    Quote,
    append,
    table_of,
)
from .paging import PATH, ask, lengths_of_pages

NOWHERE = ArchiveConfig(catalog="rest", catalog_uri="http://127.0.0.1:9")
FIRST_MS = RUNNING_MS - 11 * DAY_MS
"""Eight days before the first quote."""
SEAM_MS = RUNNING_MS - (RETAINED + 40) * MINUTE_MS


@each(
    ("interval", "fill"),
    [
        ("1m", "none"),
        ("1m", "previous"),
        ("10m", "previous"),
        ("1h", "none"),
        ("4h", "previous"),
        ("1d", "none"),
        ("1w", "previous"),
    ],
)
async def test_the_last_buckets_are_those_of_all_quotes(
    archived: httpx.AsyncClient, market: Market, interval: str, fill: str
) -> None:
    for limit, end in (
        (1000, NOW_MS),
        (1000, RUNNING_MS - 30 * MINUTE_MS),
        (300, RUNNING_MS - 7 * 3_600_000 + 1),
        (RETAINED + 1, NOW_MS),
        (1, NOW_MS),
    ):
        query = {"interval": interval, "limit": limit, "end": end}
        found = await ask(archived, **query, fill=fill)
        whole = market.last(limit, interval, end, fill)
        assert found["bars"] == whole
        assert not {"continue_before", "gap"} & found.keys()
        assert found["next_page_token"] is None
        if fill == "none":
            several = await ask(archived, "/v1/bars", instruments=INSTRUMENT, **query)
            assert several["bars"] == ({str(INSTRUMENT): whole} if whole else {})


@each(
    ("start", "interval", "limit", "fill"),
    [
        (FIRST_MS, "1m", 1000, "none"),
        (FIRST_MS, "5m", 70, "previous"),
        (FIRST_MS, "1h", 3, "none"),
        (FIRST_MS, "1w", 1, "previous"),
        *((SEAM_MS, "1m", limit, "none") for limit in (7, 30, 45, 70)),
    ],
)
async def test_pages_joined_are_all_quotes_each_as_long_as_any(
    *,
    archived: httpx.AsyncClient,
    market: Market,
    start: int,
    interval: str,
    limit: int,
    fill: str,
) -> None:
    query = {"start": start, "interval": interval, "limit": limit, "fill": fill}
    whole = market.since(start, interval, fill)
    assert {*await lengths_of_pages(archived, whole, **query)} <= {limit}


async def test_what_redis_retains_is_not_asked_of_the_archive(
    serve: Serve, filled: Filled, market: Market
) -> None:
    market.held(filled)
    async with serve(archive=NOWHERE) as client:
        found = await ask(client, limit=RETAINED)
        assert found["bars"] == market.last(RETAINED, "1m")
        answer = await client.get(PATH, params={"limit": 1000})
        assert answer.status_code == 503
        assert answer.json()["type"].endswith(":archive-unavailable")
        assert answer.headers["retry-after"] == "5"


async def test_a_namespace_that_is_new_is_asked_again_how_long_it_retains(
    serve: Serve, filled: Filled, market: Market
) -> None:
    market.held(filled)
    position = filled.keys.position(QUOTES, instrument_partition(INSTRUMENT, TOPOLOGY.quotes))
    filled.store.delete(position)  # written after the first bars
    ages = range(1, RETAINED)
    empty = next(n for n in ages if RUNNING_MS - n * MINUTE_MS not in market.minutes)
    async with serve(archive=NOWHERE) as client:
        assert (await client.get(PATH, params={"limit": empty + 1})).status_code == 503
        market.held(filled)
        await ask(client, limit=empty + 1)


async def test_an_instrument_that_redis_has_forgotten_is_in_the_archive(
    archived: httpx.AsyncClient,
) -> None:
    path = f"/v1/instruments/{ARCHIVED_ONLY}/bars"
    found = await archived.get(path, params={"interval": "1d", "limit": 2})
    assert [bar["c"] for bar in found.json()["bars"]] == [2]
    for query in ({"interval": "1h"}, {"start": NOW_MS - DAY_MS // 2}):
        answer = await archived.get(path, params=query)
        assert answer.json()["type"].endswith(":unknown-instrument")


async def test_more_days_than_one_answer_reads_are_read_in_parts(
    archived: httpx.AsyncClient, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question, "MOST_DAYS", 2)
    last = await ask(archived, interval="1d", limit=9)
    before = await ask(archived, interval="1d", limit=7, end=last["continue_before"])
    assert "continue_before" not in before
    assert before["bars"] + last["bars"] == market.last(9, "1d")
    start = RUNNING_MS - 9 * DAY_MS
    whole = market.since(start, "1d")
    lengths = await lengths_of_pages(archived, whole, interval="1d", limit=9, start=start)
    assert len(lengths) == 2, "two pages each way"


async def test_weeks_are_whole_on_every_page(
    serve: Serve, filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question, "MOST_DAYS", 10)
    noon = RUNNING_MS // DAY_MS * DAY_MS - DAY_MS // 2
    weeks = Market([Quote(noon - age * DAY_MS, 1 + age, 1) for age in range(40)])
    config = ArchiveConfig(warehouse=str(tmp_path))
    append(table_of(config), weeks.rows(RUNNING_MS, late=False))
    start = noon - 50 * DAY_MS
    async with serve(archive=config) as client:
        query = {"start": start, "interval": "1w", "limit": 9}
        assert len(await lengths_of_pages(client, weeks.since(start, "1w"), **query)) >= 4


async def test_minutes_that_no_one_has_are_named(
    *,
    serve: Serve,
    filled: Filled,
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = ArchiveConfig(warehouse=str(tmp_path))
    behind = RUNNING_MS - 5 * 3_600_000
    table = table_of(config)
    append(table, market.rows(behind, late=False))
    newest = max(minute for minute in market.minutes if minute < behind)
    retained = max(market.minutes) - (RETAINED - 1) * MINUTE_MS
    market.held(filled)
    async with serve(archive=config) as client:
        gap = {"start": newest + MINUTE_MS, "end": retained}
        assert (await ask(client, limit=1000))["gap"] == gap
        assert "gap" not in await ask(client, limit=10, end=behind - DAY_MS)
        append(table, market.rows(RUNNING_MS, late=False))
        monkeypatch.setattr(files, "_FRESH_S", 0)
        assert "gap" not in await ask(client, limit=1000)


@each(
    ("is_there", "reason"),
    [
        (False, "no table bars: `python -m archive run` makes it"),
        (True, "is missing column notional double"),
    ],
)
async def test_an_archive_that_is_not_there_or_has_no_such_column_is_reported(
    *,
    serve: Serve,
    filled: Filled,
    market: Market,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_there: bool,
    reason: str,
) -> None:
    market.held(filled)
    config = ArchiveConfig(warehouse=str(tmp_path))
    if is_there:
        with table_of(config).update_schema() as change:
            change.rename_column("notional", "pv")
    async with serve(archive=config) as client:
        answer = await client.get(PATH, params={"limit": 1000})
        assert answer.status_code == 503
        assert reason in answer.json()["detail"]
    # What was asked for came after the first try, on the same thread.
    assert "cannot be read yet, each read tries again: ArchiveError: the archive has" in caplog.text
