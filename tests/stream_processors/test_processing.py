from collections.abc import Awaitable, Callable

import pytest
import structlog
from faust.types import TP
from prometheus_client import REGISTRY

from contracts.topics import QUOTES
from stream_processors.positions import Claim
from stream_processors.processing import LogWentBackError, Processor, misplaced
from stream_processors.sink import FencedError
from stream_processors.transport import RecordBatch

from .records import batch_of


def claim_of(partition: int, next_offset: int = 0) -> Claim:
    return Claim(QUOTES, partition, 1, 0, next_offset, "one", 1, str(next_offset))


class Counting:
    """The state of a partition that counts; `work` may fail, as a write may."""

    def __init__(self, claim: Claim, work: Callable[[], None]) -> None:
        self.claim = claim
        self.next_offset = claim.next_offset
        self.flushes = 0
        self._work = work

    async def process(self, batch: RecordBatch) -> None:
        self._work()
        self.next_offset = batch.next_offset

    async def flush(self) -> None:
        self.flushes += 1
        self._work()


def nothing() -> None:
    pass


def fenced() -> None:
    raise FencedError("partition 0 of quotes is at epoch 2, this worker's was 1")


def processor_of(*partitions: int, work: Callable[[], None] = nothing) -> Processor:
    processor = Processor(QUOTES, "quotes", lambda claim: Counting(claim, work))
    for partition in partitions:
        processor.assign(claim_of(partition))
    return processor


def state(processor: Processor, partition: int = 0) -> Counting:
    found = processor.partitions[partition]
    assert isinstance(found, Counting)
    return found


def quotes(first: int, n: int = 1, partition: int = 0) -> RecordBatch:
    return batch_of("quotes", partition, [(first + k, b"") for k in range(n)])


async def test_batches_go_to_their_partition_and_are_counted() -> None:
    processor = processor_of(0, 1)
    before = records()
    await processor.process(quotes(0, 3, partition=1))
    assert (state(processor, 0).next_offset, state(processor, 1).next_offset) == (0, 3)
    assert records() == before + 3


async def test_a_batch_of_a_partition_that_is_not_ours_is_left_to_its_owner() -> None:
    processor = processor_of(0)
    before = records()
    await processor.process(quotes(0, partition=5))
    assert records() == before


async def test_a_log_that_goes_on_after_a_gap_is_followed() -> None:
    processor = processor_of(0)
    await processor.process(quotes(0, 3))
    await processor.process(quotes(7))
    assert state(processor).next_offset == 8


async def test_a_log_that_goes_back_ends_the_worker_and_says_why() -> None:
    processor = processor_of(0)
    await processor.process(quotes(0, 3))
    with pytest.raises(LogWentBackError, match="quotes/0 delivered offset 2 after 2: the topic"):
        await processor.process(quotes(2))


@pytest.mark.parametrize(
    "work",
    [
        lambda processor: processor.process(quotes(0)),
        lambda processor: processor.flush(),
        lambda processor: processor.flush_one(0),
    ],
    ids=["process", "flush", "flush_one"],
)
async def test_a_replaced_worker_drops_that_partition_and_says_so(
    work: Callable[[Processor], Awaitable[None]],
) -> None:
    processor = processor_of(0, work=fenced)
    with structlog.testing.capture_logs() as logs:
        await work(processor)
    assert processor.partitions == {}
    assert "epoch 2" in logs[0]["why"]


async def test_one_partition_is_flushed_and_the_others_are_not() -> None:
    processor = processor_of(0, 1)
    await processor.flush_one(1)
    assert (state(processor, 0).flushes, state(processor, 1).flushes) == (0, 1)


async def test_the_turn_of_a_partition_that_was_revoked_passes() -> None:
    processor = processor_of(0)
    await processor.flush_one(1)
    assert state(processor).flushes == 0


async def test_a_partition_that_was_claimed_again_in_the_meantime_is_kept() -> None:
    processor = processor_of(0)

    def claimed_again() -> None:
        processor.assign(claim_of(0, next_offset=9))
        raise FencedError("by this worker's own next claim")

    processor.partitions[0] = Counting(claim_of(0), claimed_again)
    await processor.flush()
    assert state(processor).next_offset == 9


async def test_an_error_other_than_fencing_is_not_swallowed() -> None:
    def broken() -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await processor_of(0, work=broken).process(quotes(0))


async def test_a_revoked_partition_is_flushed_and_forgotten_and_the_others_stay() -> None:
    processor = processor_of(0, 1)
    revoked = state(processor, 0)
    await processor.revoke({0, 7})
    assert revoked.flushes == 1
    assert list(processor.partitions) == [1]
    assert REGISTRY.get_sample_value("partitions_assigned", {"topic": "quotes"}) == 1


def test_a_misplaced_record_is_told_the_partitioner_to_use() -> None:
    rejection = misplaced(3, 2, "instrument_id 4")
    assert rejection.place == 3
    assert rejection.reason.startswith("instrument_id 4 does not belong to partition 2: produce")
    assert "partitioner=murmur2" in rejection.reason


def records() -> float:
    return REGISTRY.get_sample_value("records_total", {"topic": "quotes"}) or 0.0


def test_a_batch_is_of_one_partition() -> None:
    assert quotes(0, partition=3).tp == TP("quotes", 3)


async def test_a_worker_tells_how_many_partitions_it_folds_also_none() -> None:
    def assigned() -> float | None:
        return REGISTRY.get_sample_value("partitions_assigned", {"topic": QUOTES.name})

    processor = processor_of(work=fenced)
    assert assigned() == 0
    for partition in range(3):
        processor.assign(claim_of(partition))
    assert assigned() == 3
    await processor.process(quotes(0, partition=0))  # fenced: dropped
    assert assigned() == 2
    await processor.revoke({1, 2})
    assert assigned() == 0
