"""The partitions that Kafka's group has assigned to this worker."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

import structlog
from aiokafka.errors import OffsetOutOfRangeError
from faust.types import TP

from stream_processors import metrics
from stream_processors.compiled import CODE
from stream_processors.partition.life import FetchRefusedError, Partition
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.consumer_thread import PartitionReader

log = structlog.get_logger()

# The group waits 6 s for a worker that must give back partitions. What is not written by then is
# reread from the log by their next owner.
_REVOKED_WITHIN_S: Final = 4.0
HELD_BYTES_MAX: Final = 3 << 28
"""Of all partitions: twice what 40 of them usually hold, while one batch of a few kB may unpack to
128 MB of records."""

Make = Callable[[TP, PartitionReader], Partition]


class AssignedPartitions:
    """Starts and ends partitions as the group assigns and revokes them; they do the work."""

    def __init__(
        self, make: Make, topics: Collection[str], on_failure: Callable[[BaseException], None]
    ) -> None:
        """Take a partition factory, the topics, and a handler of fatal errors."""
        self._make = make
        self._topics = topics
        self._on_failure = on_failure
        self._by_tp: dict[TP, Partition] = {}
        self._tasks: dict[TP, asyncio.Task[None]] = {}
        self._count()

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._by_tp.values()))

    def begin(self, readers: Mapping[TP, PartitionReader]) -> None:
        """Begin a life of each assigned partition; none continues from an earlier assignment."""
        for tp in readers.keys() & self._by_tp.keys():
            del self._by_tp[tp]
            self._tasks.pop(tp).cancel()
        for tp in sorted(readers):
            self._by_tp[tp] = self._make(tp, readers[tp])
            name = f"{tp.topic}/{tp.partition}"
            task = self._tasks[tp] = asyncio.create_task(self._by_tp[tp].run(), name=name)
            task.add_done_callback(self._note_end)
        self._count()

    async def revoke(self, revoked: Collection[TP], within_s: float = _REVOKED_WITHIN_S) -> None:
        """Let partitions write what they have folded while there is time; forget them."""
        mine = [tp for tp in revoked if tp in self._by_tp]
        for tp in mine:
            self._by_tp.pop(tp).revoke()
        tasks = [self._tasks.pop(tp) for tp in mine]
        self._count()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=within_s)
        for task in late:
            task.cancel()
        if late:
            log.warning(
                "partitions were revoked unflushed: the store or the broker is unreachable; "
                "what was not written will be reread from the log",
                partitions=sorted(task.get_name() for task in late),
            )
            await asyncio.wait(late)

    def hand(self, batch: RecordBatch) -> None:
        """Pass a batch to its partition."""
        partition = self._by_tp.get(batch.tp)
        if partition:
            partition.inbox.put(batch)

    def fail(self, tp: TP, life: object, error: Exception) -> None:
        """Report to a partition that its fetch failed."""
        partition = self._by_tp.get(tp)
        if not partition:
            return
        if isinstance(error, OffsetOutOfRangeError):
            error = FetchRefusedError(f"{tp.topic}/{tp.partition}: {error}")
        partition.inbox.put_failure(life, error)

    def hungry(self) -> set[TP]:
        """Return the partitions for which records should be fetched, as long as all have room."""
        if CODE.is_loading or sum(one.inbox.held_bytes for one in self) >= HELD_BYTES_MAX:
            return set()
        return {tp for tp, partition in self._by_tp.items() if partition.is_hungry}

    def flushed_offsets(self) -> dict[TP, int]:
        """Return the positions that Redis has of claimed partitions."""
        return {
            tp: partition.flushed_offset
            for tp, partition in self._by_tp.items()
            if partition.flushed_offset is not None
        }

    def _note_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error:
            log.error("partition cannot continue", partition=task.get_name(), exc_info=error)
            self._on_failure(error)

    def _count(self) -> None:
        number = Counter(tp.topic for tp in self._by_tp)
        for topic in self._topics:
            metrics.PARTITIONS.labels(topic).set(number[topic])
