"""Bars of quotes in any order and batching, what the table holds, and what the position says.

`test_folds` shows that they are those of the log.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from contracts.bars import FIELDS, BarValue
from contracts.batches import QuoteColumns
from contracts.keyspace import CLOSED_FIELD, NOT_WHOLE_YET_S, REVISED_FIELD, WHOLE_FIELD
from contracts.log_position import LogPosition
from contracts.messages import QUOTE_COLUMNS, Quote, encode
from contracts.times import MAX_TS_MS, MINUTE_MS
from contracts.topics import BARS, QUOTES
from stream_processors.bars import table as tables
from stream_processors.bars.bars import BarsFold
from stream_processors.bars.closing import IDLE_AFTER_S, Closing
from stream_processors.bars.fold import BAR, Bars, bars_without_quotes, fold_quotes
from stream_processors.bars.stored import from_values, to_values
from stream_processors.bars.table import NO_MINUTE, BarTable
from stream_processors.decoding.quotes import Quotes
from stream_processors.ids import NONE
from stream_processors.partition.fold import Folds
from stream_processors.store.chunks import Unwritten
from tests.examples import examples
from tests.oracles.bars import Placed, bar_of
from tests.stream_processors.folding import (
    KEYSPACE,
    InMemoryClaim,
    InMemoryProducer,
    batch_of,
    flush,
    folds_of_quotes,
)


def fold(quotes: list[Quote], cuts: Sequence[int] = ()) -> Bars:
    """Return the bar of quotes that come in several batches."""
    bars = bars_without_quotes(np.zeros(1, np.int64))
    for start, end in pairwise(sorted({0, *(min(cut, len(quotes)) for cut in cuts), len(quotes)})):
        row = np.zeros(end - start, np.int64)
        fold_quotes(bars, row, columns_of(quotes[start:end]), np.arange(start, end))
    return bars


def quote(ts: int, price: float, size: float = 0.0) -> Quote:
    return Quote(instrument_id=0, price=price, size=size, ts=ts)


cuts = st.lists(st.integers(0, 30), max_size=5)
ties = st.builds(
    Quote,
    instrument_id=st.just(0),
    price=st.integers(1, 400).map(lambda quarter: quarter / 4),
    ts=st.integers(0, 4),
    **{c.name: st.integers(0, 100).map(float) for c in QUOTE_COLUMNS if not c.is_required},
)


@examples(500)
@given(quotes=st.lists(ties, min_size=1, max_size=30), cuts=cuts)
def test_any_batching_gives_the_same_bar_whatever_the_order_of_event_times(
    quotes: list[Quote], cuts: list[int]
) -> None:
    bar = bar_of(Placed(LogPosition(0, at), asdict(its)) for at, its in enumerate(quotes))
    expected = {field.name: getattr(bar, letter) for letter, field in FIELDS.items()}
    (found,) = fold(quotes, cuts).tolist()
    assert dict(zip(BAR.names or (), found, strict=True)) == {
        "key": 0, **expected, "mark": bar.off.offset,
    }  # fmt: skip


@given(
    sizes=st.lists(st.floats(0, 1e18).filter(lambda size: size == 0 or size > 1e-18), min_size=1),
    cuts=cuts,
)
def test_any_batching_gives_the_same_bits(sizes: list[float], cuts: list[int]) -> None:
    quotes = [quote(at, 0.1 + at, size) for at, size in enumerate(sizes)]
    assert fold(quotes, cuts).tobytes() == fold(quotes).tobytes()


@given(
    prices=st.lists(
        st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False), min_size=1
    )
)
def test_a_price_is_never_rounded(prices: list[float]) -> None:
    quotes = [quote(at, price) for at, price in enumerate(prices)]
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
    quotes = [quote(0, greatest, greatest)] * 3
    for sums in (fold(quotes), fold(quotes, [1])):
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


def test_instruments_without_recent_quotes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_INSTRUMENTS_AT_MOST", 20)
    monkeypatch.setattr(tables, "_EVICT_AT_LEAST", 1)
    monkeypatch.setattr(tables, "_CACHED_MINUTES", 1)
    table = BarTable(60, 100.0)
    for first in range(0, 1_000, 10):
        ids = np.arange(first, first + 10)
        ts = (9 + first) * MINUTE_MS
        assert (table._instruments.rows(ids) == NONE).all()
        add(table, [Quote(instrument_id=n, price=1.0, ts=ts) for n in ids.tolist()])
        table.take_due(LAST_MINUTE)
        assert len(table.take_changed(0.0).minute) == 10
        table.evict()
        assert len(table) <= 30
        assert len(table._instruments) <= 30
        assert (table._instruments.rows(ids) != NONE).all(), "the latest are known"


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


def columns_of(quotes: Sequence[Quote]) -> QuoteColumns:
    """Return quotes as a fold takes them."""
    columns = {
        c.name: np.array([getattr(quote, c.name) for quote in quotes], c.kind)
        for c in QUOTE_COLUMNS
    }
    return QuoteColumns(np.arange(len(quotes)), columns)


async def take(fold: Folds[Quotes], offset: int, instrument: int, ts_ms: int) -> None:
    quote = encode(Quote(instrument_id=instrument, price=1.0, ts=ts_ms))
    await fold.take(batch_of(QUOTES.name, 0, [(offset, quote)]))


def fold_of(
    claim: InMemoryClaim, producer: InMemoryProducer | None = None, **arguments: Any
) -> Folds[Quotes]:
    return folds_of_quotes(claim.as_claim(), producer or InMemoryProducer(), **arguments)


@pytest.mark.parametrize(
    ("flushes", "revisions"),
    [
        ([[(7, 60)], [(7, 75), (7, 61)], [(7, 120)], [(7, 121)]], [0, 0, 0, 0, 0]),
        ([[(7, 119), (7, 120)], [(7, 121)]], [0, 1, 1]),
        ([[(7, 120)], [(7, 119)], [(7, 120)], [(7, 118), (7, 117)]], [0, 0, 1, 1, 2]),
        ([[(7, 120)], [(0, 119)]], [0, 0, 0]),
    ],
    ids=["in order", "over an hour's end", "late", "of another instrument"],
)
async def test_only_changes_of_an_earlier_hour_than_the_instrument_s_newest_count(
    flushes: list[list[tuple[int, int]]], revisions: list[int]
) -> None:
    """Each flush has the instrument and minute of each of its quotes."""
    fold = fold_of(InMemoryClaim({}, QUOTES, epoch="9"))
    found = [fold.begun().fields[REVISED_FIELD]]
    for quotes in flushes:
        for offset, (instrument, minute) in enumerate(quotes, 10 * len(found)):
            await take(fold, offset, instrument, minute * MINUTE_MS)
        found.append((await fold.unwritten()).fields[REVISED_FIELD])
    assert found == [f"9:{n}" for n in revisions]


def whole_s_of(unwritten: Unwritten) -> int:
    return int(unwritten.fields[WHOLE_FIELD])


@pytest.mark.parametrize(("ts_ms", "whole_s"), [(600_000, 660), (649_999, 660), (650_001, 720)])
async def test_bars_are_complete_from_the_minute_after_the_first_quote_and_the_allowed_lateness(
    ts_ms: int, whole_s: int
) -> None:
    fold = fold_of(InMemoryClaim({}, QUOTES, may_miss_records=True))
    assert whole_s_of(fold.begun()) == NOT_WHOLE_YET_S
    await fold.take(batch_of(QUOTES.name, 0, [(3, b"no quote")]))
    assert whole_s_of(await fold.unwritten()) == NOT_WHOLE_YET_S
    for offset, ts in enumerate((ts_ms, ts_ms + 600_000, 5), 4):
        await take(fold, offset, 7, ts)
    assert whole_s_of(await fold.unwritten()) == whole_s


@pytest.mark.parametrize("stored", [None, 660, NOT_WHOLE_YET_S])
async def test_a_complete_log_is_complete_from_the_beginning_or_what_was_stored(
    stored: int | None,
) -> None:
    position = {} if stored is None else {WHOLE_FIELD: str(stored)}
    fold = fold_of(InMemoryClaim({}, QUOTES, position=position))
    assert whole_s_of(fold.begun()) == (stored or 0)  # though a worker ended before a quote
    if stored != NOT_WHOLE_YET_S:
        await take(fold, 0, 7, 60_000)
        assert whole_s_of(await fold.unwritten()) == (stored or 0)


async def test_a_flush_forgets_bars_of_earlier_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_EVICT_AT_LEAST", 10)
    claim = InMemoryClaim({}, QUOTES)
    fold = fold_of(claim)
    for minute in range(100):
        await take(fold, minute, 7, minute * MINUTE_MS)
        await flush(fold, claim)
    (bars,) = fold._folds
    assert isinstance(bars, BarsFold)
    assert len(bars._table) <= 10


async def test_a_bar_written_after_its_key_expired_gets_an_expiry_again() -> None:
    expire_s, minute_s = 600, 1_700_000_040
    claim, now_s, ends_s = InMemoryClaim({}, QUOTES), 0.0, 0.0
    fold = fold_of(claim, expire_s=expire_s, monotonic_s=lambda: now_s)
    key = KEYSPACE.bars(0, 4)
    # A feed that repeats the last trade, with its old time.
    for offset, passed_s in enumerate((0, 200, 200, 700, 100, 599, 1_000)):
        now_s += passed_s
        if now_s >= ends_s:
            claim.data.pop(key, None)
        await take(fold, offset, 4, minute_s * 1000)
        groups = list((await fold.unwritten()).groups)
        claim.write(groups)
        fold.written()
        if "EXPIRE" in next(group.commands for group in groups if group.key == key):
            ends_s = now_s + expire_s
        assert now_s < ends_s, "the key has no expiry"
        assert claim.data[key]["newest"] == str(minute_s)


async def test_a_flush_that_only_closes_minutes_writes_the_position_and_nothing_else() -> None:
    """Otherwise it would look for its own chunks, removed by a call whose reply was lost."""
    clock, producer = Clock(), InMemoryProducer()
    fold = fold_of(InMemoryClaim({}, QUOTES), producer, clock_s=clock)
    await take(fold, 0, 7, 0)
    assert [*(await fold.unwritten()).groups]
    fold.written()
    assert not producer.logs
    clock.now_s += IDLE_AFTER_S + 10
    assert fold.is_due
    unwritten = await fold.unwritten()
    assert ([*unwritten.groups], unwritten.fields[CLOSED_FIELD]) == ([], "0")
    assert len(producer.logs[BARS.name, 0]) == 1


async def test_a_worker_without_quotes_closes_the_minutes_that_the_previous_one_left() -> None:
    clock, producer, claim = Clock(), InMemoryProducer(), InMemoryClaim(defaultdict(dict), QUOTES)
    before, after = (fold_of(claim, producer, clock_s=clock) for _ in range(2))
    for instrument in range(5):
        await take(before, instrument, instrument, 0)
    await flush(before, claim)
    assert after.is_due
    await after.unwritten()
    assert not producer.logs
    assert not after.is_due
    clock.now_s += IDLE_AFTER_S + 10
    assert after.is_due
    await after.unwritten()
    assert {record.key for record in producer.logs[BARS.name, 0]} == {b"%d" % n for n in range(5)}


LATE_BY_S = 10
NOW_S = 1_000_000.0


class Clock:
    now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


def closing_at(*ts_s: float, closed_minute: int = NO_MINUTE) -> tuple[Closing, Clock]:
    """Return the newest closed minute after quotes of these event times."""
    clock = Clock()
    closing = Closing(LATE_BY_S, closed_minute, clock)
    closing.note(np.array([ts * 1000 for ts in ts_s], np.int64))
    return closing, clock


def test_a_minute_is_closed_once_the_watermark_has_passed_its_end_and_no_sooner() -> None:
    assert closing_at(129.999)[0].advance(2) == 0
    assert closing_at(130)[0].advance(2) == 1
    assert closing_at()[0].advance(NO_MINUTE) == NO_MINUTE
    assert closing_at(125, closed_minute=5)[0].advance(6) == 5, "by the worker before"


@given(st.lists(st.integers(0, 600_000), min_size=1, max_size=9))
def test_closed_minutes_stay_closed_and_the_order_of_quotes_does_not_matter(
    ts_ms: list[int],
) -> None:
    closing, _ = closing_at()
    closed = []
    for ts in ts_ms:
        closing.note(np.array([ts]))
        closed.append(closing.advance(ts // MINUTE_MS))
    assert closed == sorted(closed)
    assert closed[-1] == max(NO_MINUTE, (max(ts_ms) - LATE_BY_S * 1000) // MINUTE_MS - 1)


def test_a_feed_that_is_ahead_of_the_clock_closes_no_minute_that_has_not_ended() -> None:
    now_minute = int(NOW_S) // 60
    closing, clock = closing_at(NOW_S + 290)
    assert closing.advance(now_minute + 4) == now_minute - 1
    clock.now_s += 60
    assert closing.advance(now_minute + 4) == now_minute


def test_when_quotes_stop_the_clock_closes_minutes_with_a_bar_and_none_beyond() -> None:
    closing, clock = closing_at(125)
    clock.now_s += IDLE_AFTER_S + LATE_BY_S - 1
    assert not closing.is_due(oldest=1)
    assert closing.advance(2) == 0
    closing.note(np.array([], np.int64))  # of invalid records
    clock.now_s += 1
    assert closing.is_due(oldest=1)
    assert closing.advance(2) == 2


def test_the_clock_closes_no_minute_before_its_end() -> None:
    now_minute = int(NOW_S) // 60
    closing, clock = closing_at(NOW_S)
    clock.now_s = now_minute * 60 + 70.0
    closing.note(np.array([int(NOW_S * 1000)]))
    clock.now_s += IDLE_AFTER_S + LATE_BY_S
    assert not closing.is_due(oldest=now_minute + 2)
    assert closing.advance(now_minute + 5) == now_minute + 1
