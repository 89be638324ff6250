"""Bars do not depend on how their quotes were batched, or on the order of their event times."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from contracts.bars import FIELDS
from contracts.log_position import LogPosition
from contracts.messages import Quote
from stream_processors.bars.fold import BAR, Bars, bars_without_quotes, fold_quotes
from tests.oracles.bars import Placed, bar_of, in_order

from .plain_bars import columns_of, quotes


class Marked(NamedTuple):
    key: int
    mark: int
    quote: Quote


def marked(mark: int, price: float, size: float = 0.0, ts: int | None = None) -> Marked:
    """Return a quote of the first bar; its time is its mark if none is given."""
    ts = mark if ts is None else ts
    return Marked(0, mark, Quote(instrument_id=0, price=price, size=size, ts=ts))


def fields_by_hand(quotes: list[Marked]) -> dict[str, float]:
    """Return the fields of the quotes' bar, by the names that the fold gives them."""
    placed = in_order(Placed(LogPosition(0, q.mark), asdict(q.quote)) for q in quotes)
    bar = bar_of(placed)
    values = {field.name: getattr(bar, letter) for letter, field in FIELDS.items()}
    return {"key": quotes[0].key} | values | {"mark": bar.off.offset}


def folded_by_hand(quotes: list[Marked]) -> list[dict[str, float]]:
    of_key: dict[int, list[Marked]] = defaultdict(list)
    for quote in quotes:
        of_key[quote.key].append(quote)
    return [fields_by_hand(of_key[key]) for key in sorted(of_key)]


def named(bars: Bars) -> list[dict[str, float]]:
    return [dict(zip(BAR.names or (), row, strict=True)) for row in bars.tolist()]


def fold(*batches: list[Marked]) -> Bars:
    """Return the bars of batches of quotes, by ascending key."""
    keys = np.unique([quote.key for batch in batches for quote in batch]).astype(np.int64)
    bars = bars_without_quotes(keys)
    for batch in batches:
        key, mark, its = zip(*batch, strict=True) if batch else ((),) * 3
        row = np.searchsorted(keys, np.array(key, np.int64))
        fold_quotes(bars, row, columns_of(its), np.array(mark, np.int64))
    return bars


@st.composite
def streams(draw: st.DrawFn, keys: int = 3) -> list[Marked]:
    """Quotes in the log's order, with event times in any order and many ties."""
    return [
        Marked(draw(st.integers(0, keys - 1)), mark, draw(quotes))
        for mark in range(draw(st.integers(1, 30)))
    ]


def batches_of(quotes: list[Marked], cuts: list[int]) -> list[list[Marked]]:
    ends = sorted(min(cut, len(quotes)) for cut in cuts)
    pairs = zip([0, *ends], [*ends, len(quotes)], strict=True)
    return [quotes[start:end] for start, end in pairs]


cuts = st.lists(st.integers(0, 30), max_size=5)


@given(quotes=streams(), cuts=cuts)
def test_any_batching_gives_the_same_bars_whatever_the_order_of_event_times(
    quotes: list[Marked], cuts: list[int]
) -> None:
    assert named(fold(*batches_of(quotes, cuts))) == folded_by_hand(quotes)


@given(
    sizes=st.lists(st.floats(0, 1e18).filter(lambda size: size == 0 or size > 1e-18), min_size=1),
    cuts=cuts,
)
def test_any_batching_gives_the_same_bits(sizes: list[float], cuts: list[int]) -> None:
    quotes = [marked(at, 0.1 + at, size) for at, size in enumerate(sizes)]
    assert fold(*batches_of(quotes, cuts)).tobytes() == fold(quotes).tobytes()


@given(
    prices=st.lists(
        st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False), min_size=1
    )
)
def test_a_price_is_never_rounded(prices: list[float]) -> None:
    quotes = [marked(at, price) for at, price in enumerate(prices)]
    bar = fold(quotes)[0]
    assert (bar["open"], bar["high"], bar["low"], bar["close"]) == (
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
    )


@pytest.mark.filterwarnings("error")
def test_sums_that_overflow_stay_at_the_largest_float() -> None:
    """JSON has no infinity: a bar with one could not be read again."""
    greatest = float(np.finfo(np.float64).max)
    quotes = [marked(at, greatest, greatest, 0) for at in range(3)]
    for sums in (fold(quotes), fold(quotes[:1], quotes[1:])):
        assert (sums["volume"][0], sums["notional"][0]) == (greatest, greatest)
