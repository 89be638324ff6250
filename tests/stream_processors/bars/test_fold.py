"""Bars do not depend on how their quotes were batched, or on their order."""

import random
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.bars import FIELDS
from contracts.log_position import LogPosition
from stream_processors.bars.fold import BAR, Bars, fold_quotes, merge
from tests.oracles.bars import Placed, bar_of

from .plain_bars import columns_of


class Quote(NamedTuple):
    key: int
    price: float
    size: float
    ts_ms: int
    mark: int


def fields_by_hand(quotes: list[Quote]) -> dict[str, float]:
    """Return the fields of the quotes' bar, by the names that the fold gives them."""
    placed = sorted(Placed(q.ts_ms, LogPosition(0, q.mark), q.price, q.size) for q in quotes)
    bar = bar_of(placed)
    mark = bar.off.offset
    marks = {
        "open_mark": placed[0].place.offset,
        "close_mark": placed[-1].place.offset,
        "mark": mark,
    }
    values = {field.name: getattr(bar, letter) for letter, field in FIELDS.items()}
    return {"key": quotes[0].key} | values | marks


def folded_by_hand(quotes: list[Quote]) -> list[dict[str, float]]:
    of_key: dict[int, list[Quote]] = defaultdict(list)
    for quote in quotes:
        of_key[quote.key].append(quote)
    return [fields_by_hand(of_key[key]) for key in sorted(of_key)]


def named(bars: Bars) -> list[dict[str, float]]:
    return [dict(zip(BAR.names or (), row, strict=True)) for row in bars.tolist()]


def fold(quotes: list[Quote]) -> Bars:
    key, price, size, ts_ms, mark = zip(*quotes, strict=True) if quotes else ((),) * 5
    columns = columns_of(price, size, ts_ms)
    return fold_quotes(np.array(key, np.int64), columns, np.array(mark, np.int64))


# Quarters and whole sizes: products and sums are exact, so that equality may be exact, too.
quarters = st.integers(1, 400).map(lambda quarter: quarter / 4)


@st.composite
def streams(draw: st.DrawFn, keys: int = 3) -> list[Quote]:
    """Quotes with distinct marks in any order, and many ties of event time."""
    n = draw(st.integers(1, 30))
    marks = draw(st.permutations(range(n)))
    return [
        Quote(
            draw(st.integers(0, keys - 1)),
            draw(quarters),
            float(draw(st.integers(0, 1_000))),
            draw(st.integers(0, 4)),
            mark,
        )
        for mark in marks
    ]


@given(quotes=streams())
def test_bars_match_a_fold_by_hand(quotes: list[Quote]) -> None:
    assert named(fold(quotes)) == folded_by_hand(quotes)


@given(quotes=streams(keys=1), data=st.data(), seed=st.integers(0, 2**32))
def test_any_batching_merged_in_any_order_gives_the_same_bar(
    quotes: list[Quote], data: st.DataObject, seed: int
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(quotes)), max_size=5).map(sorted))
    batches = [
        quotes[start:end]
        for start, end in zip([0, *cuts], [*cuts, len(quotes)], strict=True)
        if start < end
    ]
    parts = [fold(batch) for batch in batches]
    chance = random.Random(seed)
    while len(parts) > 1:  # any two are merged: every order and association may occur
        a = parts.pop(chance.randrange(len(parts)))
        b = parts.pop(chance.randrange(len(parts)))
        parts.append(merge(a, b))
    assert named(parts[0]) == folded_by_hand(quotes)


@given(quotes=streams(keys=1))
def test_merging_changes_neither_of_the_two(quotes: list[Quote]) -> None:
    a, b = fold(quotes), fold([quote._replace(mark=quote.mark + 100) for quote in quotes])
    before = named(a), named(b)
    merge(a, b)
    assert (named(a), named(b)) == before


@given(
    prices=st.lists(
        st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False), min_size=1
    )
)
def test_a_price_is_never_rounded(prices: list[float]) -> None:
    quotes = [Quote(0, price, 0.0, at, at) for at, price in enumerate(prices)]
    bar = fold(quotes)[0]
    assert (bar["open"], bar["high"], bar["low"], bar["close"]) == (
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
    )


def test_sums_of_whole_sizes_are_exact_up_to_two_to_the_53() -> None:
    sizes = [2.0**52, 1.0, 2.0**51, 3.0]
    bars = fold([Quote(0, 1.0, size, 0, at) for at, size in enumerate(sizes)])
    assert int(bars["volume"][0]) == 2**52 + 1 + 2**51 + 3


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_quotes_at_one_time_the_one_first_in_the_log_opens(order: tuple[int, int]) -> None:
    quotes = [Quote(0, 10.0, 1.0, 5, 0), Quote(0, 20.0, 1.0, 5, 1)]
    a, b = (fold([quotes[place]]) for place in order)
    for bar in (fold([quotes[place] for place in order]), merge(a, b)):
        assert (bar["open"][0], bar["close"][0]) == (10.0, 20.0)


def test_a_quote_of_size_0_is_a_quote() -> None:
    bar = fold([Quote(0, 10.0, 0.0, 5, 0)])[0]
    assert (bar["count"], bar["volume"], bar["notional"], bar["close"]) == (1, 0, 0, 10)


def test_no_quotes_give_no_bars() -> None:
    bars = fold([])
    assert bars.dtype == BAR
    assert len(bars) == 0


@pytest.mark.filterwarnings("error")
def test_sums_that_overflow_stay_at_the_largest_float() -> None:
    """JSON has no infinity: a bar with one could not be read again."""
    greatest = float(np.finfo(np.float64).max)
    bar = fold([Quote(0, greatest, greatest, 0, 0), Quote(0, greatest, greatest, 0, 1)])
    for sums in (bar, merge(bar, bar)):
        assert (sums["volume"][0], sums["notional"][0]) == (greatest, greatest)
