"""The consumer: yields batches, seeks for partitions, and commits the positions in Redis.

Subclasses Faust's aiokafka driver. Changes, and reasons:

- `getmany` yields one message per partition and fetch, of partitions that have room for it: a full
  partition does not block the others.
- `perform_seek` only starts the assigned partitions: Faust waits for it, with a timeout, before it
  delivers anything. Each partition claims its state when it can, and then seeks by its reader.
- Positions are stored with the values that they cover; Kafka's committed offsets are telemetry.
- The result of a fetch names the partition's life that requested it, so that records fetched before
  a rebalance are never taken for later ones.
- Records of aborted transactions are not delivered, and an offset out of range is reported: nothing
  silently restarts at the log's beginning.
- A fetch waits for `_FETCH_MIN_BYTES`, but no longer than `_FETCH_MAX_WAIT_MS`.
- `ack` only ends the wait of a rebalance; `force_commit` commits the flushed positions. Faust's
  bookkeeping of acked offsets would cost a list entry for each record.
"""

import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Mapping, Set
from typing import Any, Final, Protocol, cast

from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message
from mode.utils.futures import notify

from runtime.kafka.config import KafkaConfig
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.consumer_thread import ConsumerThread, PartitionReader
from stream_processors.transport.fetched import FetchFailure

FETCH_TIMEOUT_S: Final = 1.0
# Poll interval for a partition without room, as there is no signal when it has.
_ROOM_AGAIN_S: Final = 0.02


class Partitions(Protocol):
    """What the transport needs of the assigned partitions, all on the main loop.

    There topics have our names, and here those on the broker.
    """

    def begin(self, readers: "Mapping[TP, PartitionReader]") -> None:
        """Begin a life of each assigned partition; lives begun before are over.

        Called once for each assignment. A new one invalidates all positions, even of a partition
        that was in the last, so each must be set by `PartitionReader.seek`.
        """

    def hungry(self) -> Set[TP]:
        """Return the partitions that have a position and room for a batch."""

    def fail(self, tp: TP, life: object, error: Exception) -> None:
        """Handle an error that ended the fetches for this life, e.g. an offset out of range.

        The partition is not fetched until `PartitionReader.seek` is called again.
        """

    def flushed_offsets(self) -> Mapping[TP, int]:
        """Return the next offset of each claimed partition, as it was last written."""


class BatchApp(Protocol):
    """What the transport needs of the application."""

    kafka: KafkaConfig
    partitions: Partitions


class BatchConsumer(driver.Consumer):
    """Faust's consumer, a batch at a time."""

    _thread: ConsumerThread

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: Any = None
        # Faust drops a message whose offset is below the previous one's, as after a backward seek.
        self._numbers = itertools.count(1)

    @property
    def _batch_app(self) -> BatchApp:
        return cast("BatchApp", self.app)

    def assigned(self) -> set[TP]:
        """Return the partitions that the group has assigned to this worker.

        Raises:
            faust.exceptions.ConsumerNotStarted: it has not started.
        """
        return set(map(self._ours, self.assignment()))

    def _ours(self, there: Any) -> TP:
        return TP(self._batch_app.kafka.name(there.topic), there.partition)

    def _there(self, ours: TP) -> TP:
        return TP(self._batch_app.kafka.topic(ours.topic), ours.partition)

    async def perform_seek(self) -> None:
        """Begin a life of each assigned partition; returns at once."""
        assignment = self._thread.current_assignment()
        # Faust may call this twice for an assignment, and for one that has just been revoked.
        if assignment is not None and assignment is not self._begun:
            self._begun = assignment
            self._batch_app.partitions.begin(
                {self._ours(tp): PartitionReader(self._thread, tp) for tp in assignment.tps}
            )

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 (Faust's signature)
        """Fetch once, and yield one message per partition."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        active = self._get_active_partitions()
        wanted = active & set(map(self._there, self._batch_app.partitions.hungry()))
        wait_s = FETCH_TIMEOUT_S if wanted == active else _ROOM_AGAIN_S
        fetched = await self._getmany(wanted, min(timeout, wait_s))
        for one in cast("list[RecordBatch | FetchFailure]", fetched):
            if isinstance(one, FetchFailure):
                self._batch_app.partitions.fail(self._ours(one.tp), one.life, one.error)
            elif self.flow_active and not self.should_stop:
                ours = dataclasses.replace(one, tp=self._ours(one.tp))
                yield one.tp, self._to_message(one.tp, ours)

    def _to_message(self, tp: TP, record: RecordBatch) -> ConsumerMessage:
        """Return a batch as Faust's message; its offset is just an increasing number."""
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            next(self._numbers),
            time.time(),
            0,
            [],
            None,
            cast("bytes", record),
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    def ack(self, message: Message) -> bool:
        """Note that an agent is done with a batch; the flush decides about its position."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002 (Faust's signature)
        """Commit the flushed positions to Kafka, so that its tools show the lag."""
        assigned = self.assignment()
        offsets = {
            there: offset
            for tp, offset in self._batch_app.partitions.flushed_offsets().items()
            if (there := self._there(tp)) in assigned
            and offset > (self._committed_offset[there] or 0)
        }
        if not offsets or not await self._commit(offsets):
            return False
        self._committed_offset.update(offsets)
        self.app.monitor.on_tp_commit(offsets)
        return True

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; a failure is logged and repaired by the next commit."""
        try:
            await self._thread.call_thread(self._thread.commit_in_time, offsets)
        except (KafkaError, TimeoutError) as error:
            self.log.warning("Offsets not committed, retried with the next commit: %r", error)
            return False
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: /health tracks the positions."""


class Transport(driver.Transport):
    """The aiokafka transport with the consumer above."""

    Consumer = BatchConsumer
