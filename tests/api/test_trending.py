"""Trending: the pure sums and rankings, and over HTTP from a real store."""

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.recommendations import trending as following
from api.recommendations.event_counts import Counts, ranked, summed
from api.recommendations.trending import TrendingItems
from api.redis import following as copies
from contracts.trending import SPANS, TRENDING_WINDOWS, Bucket, TrendingWindow, buckets_of
from tests.patience import until, until_true

from .conftest import NOW_MS, Filled, Serve

NOW_S = NOW_MS // 1000
MINUTES_10_S, HOUR_S, DAY_S = 600, 3_600, 86_400


parts = st.lists(st.tuples(st.integers(0, 2**63 - 1) | st.integers(0, 3), st.integers(1, 9)))


def counts_of(part: list[tuple[int, int]]) -> Counts:
    columns = np.array(part, np.int64).reshape(-1, 2).T
    return Counts(columns[0], columns[1])


@given(st.lists(parts, min_size=1, max_size=4))
def test_what_has_most_events_in_all_buckets_comes_first(
    buckets: list[list[tuple[int, int]]],
) -> None:
    whole: Counter[int] = Counter()
    for bucket in buckets:
        for item, events in bucket:
            whole[item] += events
    expected = sorted((-events, item) for item, events in whole.items())
    found = ranked([summed([counts_of(bucket)]) for bucket in buckets])
    assert [(-one.events, one.instrument_id) for one in found] == expected


@given(st.sampled_from(TRENDING_WINDOWS), st.integers(10 * DAY_S, 2_000_000_000))
def test_a_window_reaches_from_a_buckets_start_to_now(window: TrendingWindow, now_s: int) -> None:
    span = SPANS[window]
    buckets = buckets_of(window, now_s)
    assert 0 <= now_s - span.window_s - buckets[0].start_s < span.bucket_s
    assert 0 <= now_s - buckets[-1].start_s < span.bucket_s
    assert all(bucket.start_s % span.bucket_s == 0 for bucket in buckets)
    steps = {b.start_s - a.start_s for a, b in itertools.pairwise(buckets)}
    assert steps == {span.bucket_s}
    assert all(bucket.expires_at_s > now_s for bucket in buckets)


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
