"""What the position says of the bars, which minutes are closed, and what a fold then writes."""

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.keyspace import (
    CLOSED_FIELD,
    NOT_WHOLE_YET_S,
    REVISED_FIELD,
    WHOLE_FIELD,
)
from contracts.messages import Quote, encode
from contracts.times import MINUTE_MS
from contracts.topics import BARS, QUOTES
from stream_processors.bars import table
from stream_processors.bars.bars import BarsFold
from stream_processors.bars.closing import IDLE_AFTER_S, Closing
from stream_processors.bars.table import NO_MINUTE
from stream_processors.decoding.quotes import Quotes
from stream_processors.partition.fold import Folds
from stream_processors.store.chunks import Unwritten
from tests.stream_processors.folding import (
    KEYSPACE,
    InMemoryClaim,
    InMemoryProducer,
    batch_of,
    flush,
    folds_of_quotes,
)


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
    monkeypatch.setattr(table, "_EVICT_AT_LEAST", 10)
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
