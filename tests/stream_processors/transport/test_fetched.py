import asyncio

import pytest
from aiokafka.errors import CorruptRecordException
from faust.types import TP

from stream_processors.transport import fetched as under_test
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.contents import UNPACKED_BYTES_MAX
from stream_processors.transport.fetched import CorruptLogError, FetchFailure
from tests.raw_batches import Raw, publish_soon

from .conftest import WAIT_S, Reader, Transactions, Write, new_topic
from .test_contents import CODECS


def numbered(first: int, n: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + n)]


def values_of(batches: list[RecordBatch]) -> list[bytes | None]:
    return [value for batch in batches for value in batch.values()]


async def test_records_fetched_for_an_earlier_life_never_carry_the_new_one(
    reader: Reader, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "TAKE_BYTES", 1)  # a Kafka batch at a time
    for first in range(0, 30, 10):
        write(numbered(first, 10))
    reader.seek(0, "former")
    assert (await reader.batch()).end == 10
    reader.seek(5, "new")  # the rest of the response is still there
    batch = await reader.batch()
    assert (batch.life, batch.start) == ("new", 5)
    assert batch.values() == numbered(5, 5)


async def test_a_life_ends_with_its_assignment_and_none_begins_without_one(
    reader: Reader, write: Write
) -> None:
    write(numbered(0, 3))
    reader.seek(0)
    reader.consumer.unsubscribe()
    reader.consumer.assign([reader.tp])
    reader.fetched.seek(TP("another", 7), 0, "life")
    assert await reader.fetched.take({reader.tp, TP("another", 7)}, 0.5) == []


async def test_a_take_is_bounded_by_bytes_and_the_next_goes_on(
    reader: Reader, write: Write
) -> None:
    n = 64
    values = [b"%02d" % at + bytes(200_000) for at in range(n)]
    write(values, compression="lz4", at_once=1)  # 13 MB, in one small response
    batches = await reader.read(0, n)
    assert values_of(batches) == values
    assert max(batch.size_bytes for batch in batches) < under_test.TAKE_BYTES + 201_000
    assert len(batches) >= 13_000_000 // (under_test.TAKE_BYTES + 201_000)


async def test_a_take_of_several_partitions_is_bounded_and_the_next_goes_on(
    reader: Reader, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "TAKE_ALL_BYTES", 1)
    with new_topic(broker, 3) as topic:
        tps = {TP(topic, partition) for partition in range(3)}
        reader.consumer.unsubscribe()
        reader.consumer.assign(list(tps))
        for tp in tps:
            await publish_soon(broker, topic, tp.partition, [Raw(b"value")])
            reader.fetched.seek(tp, 0, "life")
        while len(reader.consumer._fetcher._records) < len(tps):
            await reader.fetched._more(WAIT_S)
        taken = [await reader.fetched.take(tps, 0.0) for _ in tps]
        assert [len(some) for some in taken] == [1, 1, 1]
        assert {one.tp for some in taken for one in some} == tps


@pytest.mark.kafka_only
async def test_aborted_records_and_open_transactions_are_left_out_and_markers_are_passed(
    reader: Reader, write: Write, transactions: Transactions
) -> None:
    write(numbered(0, 5))
    transactions.begin(numbered(5, 5))
    transactions.abort()  # its marker is at 10
    write(numbered(11, 5))
    transactions.begin(numbered(16, 5))
    assert (await reader.read(0, 16))[-1].values()[-1] == b"15"
    assert await reader.fetched.take({reader.tp}, 0.5) == []  # not committed yet
    transactions.commit()  # its marker is at 21
    after = numbered(11, 10)
    for start, values in ((0, numbered(0, 5) + after), (8, after)):  # from within the aborted one
        batches = await reader.read(start, 22)
        assert (batches[0].start, values_of(batches)) == (start, values)
        for batch in batches:
            assert [b"%d" % offset for offset in batch.offsets()] == batch.values()
    transactions.begin([b"aborted"])
    transactions.abort()
    (marker,) = await reader.until(24)
    assert (marker.start, len(marker)) == (22, 0)
    assert {batch.leader_epoch for batch in [*batches, marker]} == {0}


async def test_a_corrupt_batch_is_reported_after_the_records_before_it(
    reader: Reader, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(numbered(0, 5))
    write(numbered(5, 5))
    crc_is_right = under_test._Batch.__getattr__

    def damaged(batch: under_test._Batch, name: str) -> object:
        if name == "validate_crc" and batch._batch.base_offset == 5:
            return lambda: False
        return crc_is_right(batch, name)

    monkeypatch.setattr(under_test._Batch, "__getattr__", damaged)
    reader.seek(0, "life")
    assert values_of(await reader.until(5)) == numbered(0, 5)
    failure = await reader.take()
    assert isinstance(failure, FetchFailure)
    assert isinstance(failure.error, CorruptLogError)
    assert "at offset 5: CorruptRecordException" in str(failure.error)
    monkeypatch.undo()
    assert values_of(await reader.read(5, 10)) == numbered(5, 5)


@pytest.mark.kafka_only
async def test_a_batch_that_unpacks_to_too_much_is_separate_and_skipped(
    reader: Reader, write: Write, broker: str
) -> None:
    write(numbered(0, 3))
    bomb = [Raw(b" " * (UNPACKED_BYTES_MAX + 1))]
    await publish_soon(broker, reader.tp.topic, 0, bomb, CODECS["lz4"])
    write(numbered(4, 3))
    batches = await reader.read(0, 7)
    assert values_of(batches) == [b"%d" % number for number in (0, 1, 2, 4, 5, 6)]
    (unreadable,) = [one for batch in batches for one in batch.unreadable]
    assert (unreadable.offset, unreadable.key) == (3, None)
    assert f"more than {UNPACKED_BYTES_MAX} once unpacked" in unreadable.reason


async def test_what_ended_aiokafkas_task_is_raised(reader: Reader) -> None:
    async def fail() -> None:
        raise CorruptRecordException("of the consumer as a whole")

    task = reader.consumer._fetcher._fetch_task
    reader.consumer._fetcher._fetch_task = failed = asyncio.create_task(fail())
    await asyncio.wait([failed])
    with pytest.raises(CorruptRecordException, match="as a whole"):
        await reader.fetched.take(set(), 0.0)
    reader.consumer._fetcher._fetch_task = task


# A segment is closed with the first record after this long, and only closed ones are compacted.
EAGER = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
}
KEYS = 5
N = 20 * KEYS


async def offsets_from(reader: Reader, start: int, end: int) -> list[int]:
    """Return the offsets of the existing records; fetches must be contiguous."""
    batches = await reader.read(start, end)
    assert batches[0].start == start
    return [offset for batch in batches for offset in batch.offsets().tolist() if offset < N]


@pytest.mark.kafka_only
@pytest.mark.parametrize("topic", [EAGER], indirect=True)
async def test_fetches_are_contiguous_across_compacted_records_wherever_they_begin(
    reader: Reader, write: Write
) -> None:
    """A position may be at a record that has since been removed."""
    write(numbered(0, N), keys=[b"%d" % (n % KEYS) for n in range(N)], at_once=1)
    write([None], keys=[b"0"])
    left, end = list(range(N)), N + 1
    async with asyncio.timeout(WAIT_S):
        while len(left) >= KEYS:
            write([b"closes the segment before"], keys=[b"more"])
            end += 1
            left = await offsets_from(reader, 0, end)
    # The newest of each key except the one that a tombstone removed.
    assert left == list(range(N - KEYS + 1, N))
    for start in (1, KEYS, N - KEYS, N - 2, N, N + 1):
        assert await offsets_from(reader, start, end) == [o for o in left if start <= o]
