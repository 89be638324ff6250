"""Bars that Redis has in part or not at all: equal to those of all quotes, or named missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from api.bars import request as question
from api.bars.archive import files
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
    RETAINED,
    RUNNING_MS,
    Market,
    Quote,
    append,
    table_of,
)
from .paging import PATH, ask, lengths_of_pages, pages

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
