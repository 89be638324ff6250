"""Extreme numbers, valid but unrealistic, leave every answer valid by its schema."""

import sys
from typing import Final

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bars.aggregation import MinuteBars, Window, roll_up
from api.bars.archive.rows import COLUMNS, partial_bars
from api.bars.intervals import DAY
from api.http.reply import encode
from api.market.answers import Mover
from api.market.movers import ranked
from contracts.bars import BarValue

LEAST: Final = 5e-324
GREATEST: Final = sys.float_info.max

prices = st.floats(LEAST, GREATEST)
sums = st.floats(0, GREATEST)


def minute(price: float, volume: float, notional: float) -> BarValue:
    return BarValue(price, price, price, price, volume, 1, notional, 0, 0, (0, 0))


@given(st.lists(st.builds(minute, prices, sums, sums), min_size=1, max_size=60))
def test_a_bar_of_any_minutes_is_one_of_its_schema(minutes: list[BarValue]) -> None:
    stored: MinuteBars = [(60_000 * at, value) for at, value in enumerate(minutes)]
    (bar,) = roll_up(stored, Window(0, 0, DAY), now_ms=DAY.length_ms)
    found = msgspec.json.decode(encode(bar), type=type(bar))
    assert found == bar
    assert bar.vw is None or bar.l <= bar.vw <= bar.h


@given(st.lists(st.tuples(prices, sums, sums), min_size=1, max_size=60))
def test_archived_minutes_come_to_what_minutes_of_redis_do(
    rows: list[tuple[float, float, float]],
) -> None:
    price, volume, notional = (np.array(column) for column in zip(*rows, strict=True))
    at = np.arange(len(rows))
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    sums = {"volume": volume, "count": np.ones_like(at), "notional": notional}
    unset = dict.fromkeys(COLUMNS, np.full(len(at), np.nan))
    minutes = {**unset, "minute": 60_000 * at, **prices, **sums}
    ((_, bar),) = partial_bars(minutes, DAY)
    assert bar.v == pytest.approx(min(sum(volume.tolist()), GREATEST))
    assert bar.pv == pytest.approx(min(sum(notional.tolist()), GREATEST))


@pytest.mark.filterwarnings("error")
def test_a_change_is_a_number_whatever_the_prices() -> None:
    opens, closes = np.array([LEAST, 1.0, np.nan]), np.array([GREATEST, 2.0, 1.0])
    up, down = ranked(np.array([1, 2, 3]), opens, closes)
    assert [(mover.instrument_id, mover.change) for mover in up] == [(1, GREATEST), (2, 1.0)]
    assert down == []
    assert msgspec.json.decode(encode(up), type=list[Mover]) == up
