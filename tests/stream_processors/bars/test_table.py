"""Bars of quotes in any order and batching, and what the table holds of them in memory.

`test_folds` shows that they are those of the log.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from contracts.bars import FIELDS, BarValue
from contracts.batches import QuoteColumns
from contracts.log_position import LogPosition
from contracts.messages import QUOTE_COLUMNS, Quote
from contracts.times import MAX_TS_MS, MINUTE_MS
from stream_processors.bars import table as tables
from stream_processors.bars.fold import BAR, Bars, bars_without_quotes, fold_quotes
from stream_processors.bars.stored import from_values, to_values
from stream_processors.bars.table import NO_MINUTE, BarTable
from tests.oracles.bars import Placed, bar_of, in_order


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


LAST_MINUTE = MAX_TS_MS // MINUTE_MS


def add(table: BarTable, quotes: list[Quote], mark: int = 0) -> tuple[int, int]:
    """Add quotes of bars that Redis does not have; return how many were late and repeated."""
    columns = columns_of(quotes)
    keys = table.keys(columns.instrument_id, columns.ts_ms)
    missing = table.missing(keys)
    table.insert(missing, [NO_MINUTE] * len(missing), np.empty(0, BAR))
    return table.add(keys, columns, mark + np.arange(len(quotes)))


def test_clean_bars_behind_the_newest_leave_memory_and_are_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "_EVICT_AT_LEAST", 1)
    monkeypatch.setattr(tables, "_CACHED_MINUTES", 1)
    table = BarTable(60, 100.0)
    quotes = [Quote(instrument_id=0, price=m + 1.0, ts=m * MINUTE_MS) for m in range(5)]
    assert add(table, quotes) == (0, 0)
    assert add(table, quotes) == (0, 5), "they are repeated"
    assert add(table, quotes[:1], mark=9) == (0, 0)
    assert (len(table), table.changed) == (5, 5)
    table.take_due(LAST_MINUTE)
    assert list(table.take_changed(0.0).minute) == [0, 1, 2, 3, 4]
    table.evict()
    assert (len(table), table.changed) == (1, 0)
    keys = table.keys(np.zeros(2, np.int64), np.array([0, 5 * MINUTE_MS]))
    assert [m.minutes for m in table.missing(keys)] == [[0]]  # none is after the newest
    add(table, [Quote(instrument_id=0, price=1.0, ts=100 * MINUTE_MS)])
    assert add(table, quotes) == (5, 0), "they are late"
    edge = [Quote(instrument_id=0, price=1.0, ts=m * MINUTE_MS) for m in (40, 41)]
    assert add(table, edge) == (1, 0), "60 minutes are retained"
    # Redis has a later minute than the one that was asked for.
    asked, newest, later = table.keys(np.full(3, 7), np.array([3, 5, 6]) * MINUTE_MS)[:, None]
    table.insert(table.missing(asked), [5], np.empty(0, BAR))
    assert [m.minutes for m in table.missing(np.append(newest, later))] == [[5]]


def test_the_last_minute_of_all_has_a_key_of_its_own() -> None:
    table = BarTable(60, 100.0)
    keys = table.keys(np.array([0, 1, 1]), np.array([MAX_TS_MS, MAX_TS_MS, 0]))
    assert len(set(keys.tolist())) == 3
    assert table.unknown(np.array([2, 1, 0, 2])).tolist() == [2]


def test_instruments_without_recent_quotes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_INSTRUMENTS_AT_MOST", 20)
    monkeypatch.setattr(tables, "_EVICT_AT_LEAST", 1)
    monkeypatch.setattr(tables, "_CACHED_MINUTES", 1)
    table = BarTable(60, 100.0)
    for first in range(0, 1_000, 10):
        ids = np.arange(first, first + 10)
        ts = (9 + first) * MINUTE_MS
        assert len(table.unknown(ids)) == 10
        add(table, [Quote(instrument_id=n, price=1.0, ts=ts) for n in ids.tolist()])
        table.take_due(LAST_MINUTE)
        assert len(table.take_changed(0.0).minute) == 10
        table.evict()
        assert len(table) <= 30
        assert len(table.unknown(np.arange(1_000))) >= 970
        assert len(table.unknown(ids)) == 0, "the latest are known"


prices = st.floats(0, exclude_min=True, allow_nan=False, allow_infinity=False)


@given(
    bar=st.builds(
        BarValue,
        o=prices,
        h=prices,
        l=prices,
        c=prices,
        v=prices,
        n=st.integers(1, 2**53),
        pv=prices,
        ot=st.integers(0, 2**53),
        ct=st.integers(0, 2**53),
        off=st.builds(LogPosition, st.integers(0, 2**15 - 1), st.integers(0, 2**48 - 1)),
    )
)
def test_a_stored_bar_is_read_back_to_the_last_digit(bar: BarValue) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(bar), type=BarValue)
    (written,) = to_values(from_values([5], [stored]))
    assert msgspec.json.decode(written, type=BarValue) == bar


quotes = st.builds(
    Quote,
    instrument_id=st.just(0),
    price=st.integers(1, 400).map(lambda quarter: quarter / 4),
    ts=st.integers(0, 4),
    **{c.name: st.integers(0, 100).map(float) for c in QUOTE_COLUMNS if not c.is_required},
)


def columns_of(quotes: Sequence[Quote]) -> QuoteColumns:
    """Return quotes as a fold takes them."""
    columns = {
        c.name: np.array([getattr(quote, c.name) for quote in quotes], c.kind)
        for c in QUOTE_COLUMNS
    }
    return QuoteColumns(np.arange(len(quotes)), columns)
