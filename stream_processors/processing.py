"""What the agents share: an object a partition, from its assignment to its revocation."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import structlog

from contracts.messages import Rejection
from contracts.topics import Topic
from stream_processors import metrics
from stream_processors.positions import Claim
from stream_processors.sink import FencedError
from stream_processors.transport import RecordBatch

log = structlog.get_logger()


class LogWentBackError(RuntimeError):
    """A partition's log delivered an offset that it had delivered before."""


class Partition(Protocol):
    """The state of one assigned partition."""

    claim: Claim
    next_offset: int
    """after the last record that was folded, in memory or in Redis"""

    async def process(self, batch: RecordBatch) -> None:
        """Fold a batch that begins at or after `next_offset`."""

    async def flush(self) -> None:
        """Write what is only in memory, then the position."""


class Processor:
    """The assigned partitions of one topic."""

    def __init__(self, topic: Topic, name: str, make: Callable[[Claim], Partition]) -> None:
        self.topic = topic
        self.name = name
        self._make = make
        self.partitions: dict[int, Partition] = {}
        # A counter that is not there before its first increment hides it from `increase()`.
        for counter in (metrics.RECORDS, metrics.REJECTED, metrics.REPLAYED, metrics.GAP):
            counter.labels(topic.name)
        self._tell()

    def assign(self, claim: Claim) -> None:
        """Start a partition's state anew, from what was claimed."""
        self.partitions[claim.partition] = self._make(claim)
        self._tell()

    async def process(self, batch: RecordBatch) -> None:
        """Fold a batch, unless the partition is no longer ours.

        Raises:
            LogWentBackError: the batch begins before the last one's end.
        """
        partition = self.partitions.get(batch.tp.partition)
        if partition is None:
            return
        first = batch.records[0].offset
        if first < partition.next_offset:
            raise LogWentBackError(
                f"{self.topic.name}/{batch.tp.partition} delivered offset {first} after "
                f"{partition.next_offset - 1}: the topic was made anew, or its log was cut. "
                "The worker ends; started again, it finds out where to go on"
            )
        metrics.RECORDS.labels(self.topic.name).inc(len(batch))
        await self._unless_fenced(partition, partial(partition.process, batch))

    async def flush(self) -> None:
        """Write what is only in memory: partitions at once, one's work fills another's waits."""
        await asyncio.gather(
            *(self._unless_fenced(one, one.flush) for one in self.partitions.values())
        )

    async def flush_one(self, number: int) -> None:
        """Write what is only in memory of a partition, unless it is no longer ours."""
        partition = self.partitions.get(number)
        if partition is not None:
            await self._unless_fenced(partition, partition.flush)

    async def revoke(self, partitions: set[int]) -> None:
        """Write what is only in memory, and forget the partitions."""
        await self.flush()
        for number in partitions:
            self.partitions.pop(number, None)
        self._tell()

    async def _unless_fenced(
        self, partition: Partition, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Drop the partition's state if another worker has it by now."""
        try:
            await work()
        except FencedError as error:
            number = partition.claim.partition
            if self.partitions.get(number) is partition:
                del self.partitions[number]
                self._tell()
            log.warning(
                "replaced as the owner of a partition, its state is dropped", why=str(error)
            )

    def _tell(self) -> None:
        metrics.PARTITIONS.labels(self.topic.name).set(len(self.partitions))


def misplaced(place: int, partition: int, what: str) -> Rejection:
    """Return the rejection of a record whose key belongs to another partition."""
    return Rejection(
        place,
        f"{what} does not belong to partition {partition}: produce with the key in ASCII or UTF-8 "
        "and the partitioner murmur2 (librdkafka: partitioner=murmur2)",
    )
