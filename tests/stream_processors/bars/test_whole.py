"""Whole bars: from when on, after records were lost; and which ones stay in memory."""

import pytest

from contracts.keyspace import NOT_WHOLE_YET_S, WHOLE_FIELD
from contracts.messages import Quote, encode
from contracts.partitioning import instrument_partition
from contracts.times import MINUTE_MS
from contracts.topics import QUOTES
from stream_processors.bars import table
from stream_processors.bars.bars import BarsFold
from stream_processors.decoding.quotes import Quotes
from stream_processors.partition.fold import Folds
from stream_processors.store.chunks import Unwritten
from tests.stream_processors.folding import folds_of_quotes
from tests.stream_processors.in_memory import InMemoryClaim, InMemoryProducer, groups_of
from tests.stream_processors.records import batch_of

PARTITION = instrument_partition(7, 2)


def fold_of(claim: InMemoryClaim) -> Folds[Quotes]:
    return folds_of_quotes(claim.as_claim(), InMemoryProducer(), partitions=2)


def whole_s_of(unwritten: Unwritten) -> int:
    return int(unwritten.fields[WHOLE_FIELD])


@pytest.mark.parametrize(("ts_ms", "whole_s"), [(600_000, 660), (649_999, 660), (650_001, 720)])
async def test_bars_are_complete_from_the_minute_after_the_first_quote_and_the_allowed_lateness(
    ts_ms: int, whole_s: int
) -> None:
    fold = fold_of(InMemoryClaim({}, QUOTES, PARTITION, may_miss_records=True))
    assert whole_s_of(fold.begun()) == NOT_WHOLE_YET_S
    await fold.take(batch_of("quotes", PARTITION, [(3, b"no quote")]))
    assert whole_s_of(await fold.unwritten()) == NOT_WHOLE_YET_S
    for offset, ts in enumerate((ts_ms, ts_ms + 600_000, 5), 4):
        quote = Quote(instrument_id=7, price=1.0, ts=ts)
        await fold.take(batch_of("quotes", PARTITION, [(offset, encode(quote))]))
    assert whole_s_of(await fold.unwritten()) == whole_s


async def test_bars_of_a_complete_log_are_complete_from_the_beginning() -> None:
    fold = fold_of(InMemoryClaim({}, QUOTES, PARTITION))
    quote = Quote(instrument_id=7, price=1.0, ts=60_000)
    await fold.take(batch_of("quotes", PARTITION, [(0, encode(quote))]))
    assert whole_s_of(fold.begun()) == whole_s_of(await fold.unwritten()) == 0


@pytest.mark.parametrize("stored", [660, NOT_WHOLE_YET_S])
async def test_a_new_worker_keeps_from_when_on_bars_are_complete(stored: int) -> None:
    position = {WHOLE_FIELD: str(stored)}
    fold = fold_of(InMemoryClaim({}, QUOTES, PARTITION, position=position))
    assert whole_s_of(fold.begun()) == stored  # though a worker ended before a quote


async def test_a_flush_forgets_bars_of_earlier_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_EVICT_AT_LEAST", 10)
    claim = InMemoryClaim({}, QUOTES, PARTITION)
    fold = fold_of(claim)
    (bars,) = fold._folds
    assert isinstance(bars, BarsFold)
    for minute in range(100):
        quote = Quote(instrument_id=7, price=1.0, ts=minute * MINUTE_MS)
        await fold.take(batch_of("quotes", PARTITION, [(minute, encode(quote))]))
        claim.write(await groups_of(await fold.unwritten()))
        fold.written()
    assert len(bars._table) <= 10
