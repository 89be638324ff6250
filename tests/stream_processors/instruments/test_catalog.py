"""Records to the catalog in a store, across crashes between any two groups."""

from collections.abc import Iterable

import msgspec
import pytest

from contracts.instruments import CatalogEntry, Instrument, encode_instrument, instrument_key
from contracts.log_position import LogPosition
from contracts.topics import INSTRUMENTS
from stream_processors.decoding.instruments import InstrumentRecord
from stream_processors.instruments import catalog as catalog_module
from stream_processors.instruments.catalog import CatalogFold
from stream_processors.partition.fold import Folds
from stream_processors.transport.batches import RecordBatch
from tests.stream_processors.folding import (
    KEYSPACE,
    InMemoryClaim,
    batch_of,
    flush,
    folds_of_instruments,
)
from tests.stream_processors.simulated_store import Hashes


def batch(instruments: Iterable[int]) -> RecordBatch:
    records = [
        (n, encode_instrument(Instrument(i, symbol="A", name="A")), instrument_key(i))
        for n, i in enumerate(instruments)
    ]
    return batch_of(INSTRUMENTS.name, 0, records)


def fold_of(
    data: Hashes, incarnation: int = 0
) -> tuple[Folds[list[InstrumentRecord]], InMemoryClaim]:
    claim = InMemoryClaim(data, INSTRUMENTS, incarnation=incarnation)
    return folds_of_instruments(claim.as_claim(), partitions=1), claim


def stored(data: Hashes) -> dict[int, CatalogEntry]:
    fields = data.get(KEYSPACE.catalog(0), {})
    return {int(i): msgspec.json.decode(entry, type=CatalogEntry) for i, entry in fields.items()}


async def test_a_record_of_a_later_log_counts_though_its_offset_is_lower() -> None:
    data: Hashes = {}
    fold, claim = fold_of(data)
    await fold.take(batch([1, 0]))
    await flush(fold, claim)

    after, claim = fold_of(data, incarnation=1)
    await after.take(batch([0]))
    await flush(after, claim)

    assert stored(data)[0].off == LogPosition(1, 0)


async def test_many_instruments_are_read_and_written_as_few_are() -> None:
    n = 3 * catalog_module._READ_AT_ONCE + 1
    data: Hashes = {}
    for _ in range(2):
        fold, claim = fold_of(data)
        await fold.take(batch(range(n)))
        assert claim.reads == 4
        await flush(fold, claim)
        assert {i: its.off.offset for i, its in stored(data).items()} == dict(enumerate(range(n)))


async def test_it_is_full_before_it_holds_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "_MAX_UNWRITTEN", 2)
    fold, _ = fold_of({})
    await fold.take(batch([0, 1, 1]))
    assert not fold.is_full
    await fold.take(batch([2]))
    assert fold.is_full
    await fold.unwritten()
    assert not fold.is_full


@pytest.mark.parametrize("starts_over", [False, True])
async def test_a_catalog_of_an_earlier_log_is_emptied_as_a_whole(*, starts_over: bool) -> None:
    data: Hashes = {}
    fold, claim = fold_of(data)
    await fold.take(batch([0, 1]))
    await flush(fold, claim)
    new = InMemoryClaim(data, INSTRUMENTS, starts_over=starts_over)
    new.write(CatalogFold(new.as_claim()).begun().groups)
    assert (stored(data) == {}) is starts_over
