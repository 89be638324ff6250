"""Trending: the pure sums and rankings, and over HTTP from a real store."""

import itertools
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from api.recommendations import trending as following
from api.recommendations.trending import TrendingItems
from api.redis import following as copies
from contracts.trending import TRENDING_WINDOWS, Bucket, TrendingWindow, buckets_of
from tests.patience import until, until_true

from .conftest import NOW_MS, Filled, Serve

NOW_S = NOW_MS // 1000
MINUTES_10_S, HOUR_S, DAY_S = 600, 3_600, 86_400


def count(
    filled: Filled, partition: int, length_s: int, ago_s: int, events: Mapping[int, int]
) -> None:
    bucket = Bucket(length_s, (NOW_S - ago_s) // length_s * length_s)
    filled.events(events, bucket, partition)


@pytest.fixture
def trending(filled: Filled) -> None:
    filled.instrument(1, "A", categories=("tech",))
    filled.instrument(2, "B", categories=("energy",), attributes={"lot": 2})
    filled.instrument(62, "C", categories=("tech",), listed=False)
    count(filled, 0, MINUTES_10_S, 0, {1: 2, 62: 90, 7: 1})
    count(filled, 4, MINUTES_10_S, HOUR_S, {2: 4, 1: 1})
    count(filled, 1, MINUTES_10_S, HOUR_S + MINUTES_10_S, {1: 50})
    count(filled, 2, HOUR_S, 6 * HOUR_S, {2: 6})
    count(filled, 2, HOUR_S, 24 * HOUR_S, {1: 8})
    count(filled, 2, HOUR_S, 25 * HOUR_S, {2: 100})
    count(filled, 3, DAY_S, 7 * DAY_S, {7: 3})


@pytest.mark.usefixtures("trending")
async def test_each_window_has_its_events(client: httpx.AsyncClient) -> None:
    answer = await answered(client)
    assert answer.pop("request_id").startswith(f"none.1h-{NOW_MS}.trending.")
    assert answer == {
        "window": "1h",
        "start": (NOW_S - HOUR_S) // MINUTES_10_S * MINUTES_10_S * 1000,
        "as_of": NOW_MS,
        "items": [
            {"instrument_id": 2, "events": 4, "symbol": "B"},
            {"instrument_id": 1, "events": 3, "symbol": "A"},
            {"instrument_id": 7, "events": 1},
        ],
    }
    for query, expected in (
        ("?window=1h&n=1", [(2, 4)]),
        ("?window=1h&category=tech", [(1, 3)]),
        ("?window=1h&category=nothing", []),
        ("?window=1h&exclude_category=energy", [(1, 3), (7, 1)]),
        ("?window=1h&filter=lot:gt:1", [(2, 4)]),
        ("?window=6h", [(2, 6)]),
        ("?window=24h", [(1, 8), (2, 6)]),
        ("", [(1, 8), (2, 6)]),
        ("?window=7d", [(7, 3)]),
    ):
        items = (await client.get(f"/v1/trending{query}")).json()["items"]
        found = [(item["instrument_id"], item["events"]) for item in items]
        assert found == expected, query


@pytest.mark.usefixtures("trending")
@pytest.mark.parametrize("window", TRENDING_WINDOWS)
async def test_the_next_refresh_counts_events_however_late_they_come(
    serve: Serve, filled: Filled, monkeypatch: pytest.MonkeyPatch, window: TrendingWindow
) -> None:
    refreshes, refresh = itertools.count(), TrendingItems.refresh
    ended = -1

    async def counted(its: TrendingItems) -> None:
        nonlocal ended
        await refresh(its)
        ended = next(refreshes)

    monkeypatch.setattr(TrendingItems, "refresh", counted)
    monkeypatch.setattr(following, "REFRESH_EVERY_S", 0.01)
    monkeypatch.setattr(copies, "BUSY_SHARE", 1)
    buckets = buckets_of(window, NOW_S)
    async with serve() as client:
        for events in (90, 91):
            for bucket in buckets:
                filled.events({8: events}, bucket, offset=events)
            soon = ended + 2  # the next one may have begun before
            await until(lambda soon=soon: ended >= soon, "refreshes")  # type: ignore[misc]
            items = (await client.get(f"/v1/trending?window={window}")).json()["items"]
            assert items[0] == {"instrument_id": 8, "events": events * len(buckets)}


@until_true
async def answered(client: httpx.AsyncClient) -> Any:
    """Return the first answer that knows of anything."""
    answer = (await client.get("/v1/trending?window=1h")).json()
    assert answer["as_of"] is not None
    return answer
