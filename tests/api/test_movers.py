"""Movers: the pure ranking, and over HTTP from a real store."""

import math

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.market.movers import fields_of, first_present, ranked
from contracts.bars import BarValue
from tests.patience import until_true

from .conftest import NOW_MS, Filled

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
    assert await answered(client) == {
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
async def answered(client: httpx.AsyncClient) -> object:
    """Return the first answer that knows of anything."""
    answer = (await client.get("/v1/movers?window=5m")).json()
    assert answer["as_of"] is not None
    return answer
