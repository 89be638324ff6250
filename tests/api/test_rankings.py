"""Movers and trending instruments: the pure ranking, and over HTTP from a real store."""

import itertools
import math
import sys
from collections.abc import Mapping
from typing import Any, Final

import httpx
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.reply import encode
from api.market.answers import Mover
from api.market.movers import fields_of, first_present, ranked
from api.recommendations import trending as following
from api.recommendations.trending import TrendingItems
from api.redis import following as copies
from contracts.bars import BarValue
from contracts.trending import TRENDING_WINDOWS, Bucket, TrendingWindow, buckets_of
from tests.patience import until, until_true

from .conftest import NOW_MS, Filled, Serve

END_S = NOW_MS // 60_000 * 60
"""The last finished minute ends here."""

prices = st.one_of(st.just(math.nan), st.integers(1, 6).map(float))


@given(st.dictionaries(st.integers(0, 2**63 - 1), st.tuples(prices, prices), max_size=20))
def test_what_rose_and_what_fell_come_by_their_changes(
    moved: dict[int, tuple[float, float]],
) -> None:
    ids = sorted(moved)
    opens, closes = (np.array([moved[i][end] for i in ids], float) for end in (0, 1))
    up, down = ranked(np.array(ids, np.int64), opens, closes)
    changes = {i: close / open_ - 1 for i, (open_, close) in moved.items()}
    rose = sorted((-change, i) for i, change in changes.items() if change > 0)
    fell = sorted((change, i) for i, change in changes.items() if change < 0)
    assert [(-one.change, one.instrument_id) for one in up] == rose
    assert [(one.change, one.instrument_id) for one in down] == fell
    assert all((one.open, one.close) == moved[one.instrument_id] for one in (*up, *down))


def test_the_ends_of_a_window_are_its_first_and_last_minutes_with_quotes() -> None:
    fields = [int(field) for field in fields_of(3_600_000)]
    assert fields[:3] == [3540, 3480, 3420]
    assert fields[3:] == [3300, 3360, 3420, 2700, 2760, 2820, 0, 60, 120]
    values = [b"%d" % field if field in {3480, 3360, 120} else None for field in fields]
    assert [*first_present(values)] == [b"3480", b"3360", None, b"120"]


def bar(open_: float, close: float) -> BarValue:
    low, high = sorted((open_, close))
    return BarValue(open_, high, low, close, 1, 2, open_, 0, 1, (0, 1))


@pytest.fixture
def moved(filled: Filled) -> None:
    categories = {1: ("tech",), 2: ("energy",), 3: ("tech",), 4: ("tech",), 5: (), 6: ()}
    for item, of in categories.items():
        lot = {"lot": item}
        filled.instrument(item, f"S{item}", categories=of, listed=item != 4, attributes=lot)
    last = END_S - 60
    filled.bars(1, {last: bar(12, 15), END_S - 300: bar(10, 9), END_S - 3600: bar(20, 10)})
    filled.bars(2, {last - 120: bar(12, 20), END_S - 240: bar(10, 9), END_S: bar(9, 1)})
    filled.bars(3, {last: bar(5, 4), END_S - 300: bar(5, 5)})
    filled.bars(4, {last: bar(5, 400), END_S - 300: bar(5, 5)})
    filled.bars(5, {last: bar(5, 5)})
    filled.bars(7, {last: bar(5, 400), END_S - 300: bar(5, 5)})


@pytest.mark.usefixtures("moved")
async def test_movers_are_those_of_the_listed_instruments(client: httpx.AsyncClient) -> None:
    assert await movers(client) == {
        "window": "5m",
        "direction": "up",
        "as_of": END_S * 1000,
        "movers": [
            {"instrument_id": 2, "change": 1.0, "open": 10.0, "close": 20.0, "symbol": "S2"},
            {"instrument_id": 1, "change": 0.5, "open": 10.0, "close": 15.0, "symbol": "S1"},
        ],
    }
    for query, expected in (
        ("?window=5m&n=1", [2]),
        ("?window=5m&category=tech", [1]),
        ("?window=5m&exclude_category=energy", [1]),
        ("?window=5m&filter=lot:ge:2", [2]),
        ("?window=5m&direction=down", [3]),
        ("?window=1h&direction=down", [1]),
        ("?window=15m", []),
    ):
        answer = (await client.get(f"/v1/movers{query}")).json()
        assert [one["instrument_id"] for one in answer["movers"]] == expected, query


@until_true
async def movers(client: httpx.AsyncClient) -> object:
    """Return the first answer that knows of anything."""
    answer = (await client.get("/v1/movers?window=5m")).json()
    assert answer["as_of"] is not None
    return answer


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
    answer = await trends(client)
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
async def trends(client: httpx.AsyncClient) -> Any:
    """Return the first answer that knows of anything."""
    answer = (await client.get("/v1/trending?window=1h")).json()
    assert answer["as_of"] is not None
    return answer


LEAST: Final = 5e-324
GREATEST: Final = sys.float_info.max


@pytest.mark.filterwarnings("error")
def test_a_change_is_a_number_whatever_the_prices() -> None:
    opens, closes = np.array([LEAST, 1.0, np.nan]), np.array([GREATEST, 2.0, 1.0])
    up, down = ranked(np.array([1, 2, 3]), opens, closes)
    assert [(mover.instrument_id, mover.change) for mover in up] == [(1, GREATEST), (2, 1.0)]
    assert down == []
    assert msgspec.json.decode(encode(up), type=list[Mover]) == up
