"""The consumer: yields batches, seeks for partitions, and commits the positions in Redis.

Subclasses Faust's aiokafka driver. Changes, and reasons:

- `getmany` yields one message per partition and fetch, of partitions that have room for it: a full
  partition does not block the others.
- `perform_seek` only starts the assigned partitions: Faust waits for it, with a timeout, before it
  delivers anything. Each partition claims its state when it can, and then calls `seek_to`.
- Positions are stored with the values that they cover; Kafka's committed offsets are telemetry.
- The result of a fetch names the partition's life that requested it, so that records fetched before
  a rebalance are never taken for later ones.
- Records of aborted transactions are not delivered, and an offset out of range is reported: nothing
  silently restarts at the log's beginning.
- A fetch waits for `_FETCH_MIN_BYTES`, but no longer than `_FETCH_MAX_WAIT_MS`.
- `ack` only ends the wait of a rebalance; `force_commit` commits the flushed positions. Faust's
  bookkeeping of acked offsets and gaps would cost a list entry for each record.
"""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Collection, Mapping, Set
from typing import Any, Final, Protocol, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, KafkaError, NoError, for_code
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message
from mode.utils.futures import notify

from runtime.kafka.config import KafkaConfig
from stream_processors.patience import Patience
from stream_processors.transport.assignor import RoundRobin
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.fetched import Fetched, FetchFailure
from stream_processors.transport.leader_epochs import epoch_end

FETCH_TIMEOUT_S: Final = 1.0
COMMIT_WITHIN_S: Final = 2.0
ANSWER_WITHIN_S: Final = 5.0
# Poll interval for a partition without room, as there is no signal when it has.
_ROOM_AGAIN_S: Final = 0.02
# aiokafka has one fetch in flight per broker. While records of some partitions wait to be taken, it
# is for the others, and delays all if those have nothing: Faust's 1.5 s halved the rate.
_FETCH_MAX_WAIT_MS: Final = 50
# Without it, a live feed would be fetched every few ms, a handful of records per partition, and
# each event's changes published separately. The broker applies it to the sum over partitions, so an
# idle one delays the others by at most the wait above.
_FETCH_MIN_BYTES: Final = 1 << 17
# aiokafka leaves the group, and does not rejoin, if nothing was fetched for this long. Nothing is
# fetched while Redis is unreachable, or during a rebalance, however long the coordinator takes.
_MAX_POLL_INTERVAL_MS: Final = 2**31 - 1


class Partitions(Protocol):
    """What the transport needs of the assigned partitions, all on the main loop.

    There topics have our names, and here those on the broker.
    """

    def begin(self, tps: set[TP]) -> None:
        """Begin a life of each assigned partition; lives begun before are over.

        Called once for each assignment. A new one invalidates all positions, even of a partition
        that was in the last, so each must be set by `BatchConsumer.seek_to`.
        """

    def hungry(self) -> Set[TP]:
        """Return the partitions that have a position and room for a batch."""

    def fail(self, tp: TP, life: object, error: Exception) -> None:
        """Handle an error that ended the fetches for this life, e.g. an offset out of range.

        The partition is not fetched until `BatchConsumer.seek_to` is called again.
        """

    def flushed_offsets(self) -> Mapping[TP, int]:
        """Return the next offset of each claimed partition, as it was last written."""


class BatchApp(Protocol):
    """What the transport needs of the application."""

    kafka: KafkaConfig
    partitions: Partitions


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that aiokafka runs in."""

    _fetched: Fetched

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_MAX_WAIT_MS  # noqa: SLF001
        consumer._fetch_min_bytes = _FETCH_MIN_BYTES  # noqa: SLF001
        consumer._max_poll_interval_ms = _MAX_POLL_INTERVAL_MS  # noqa: SLF001
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        consumer._auto_offset_reset = "none"  # noqa: SLF001
        consumer._partition_assignment_strategy = [RoundRobin]  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        """Connect."""
        await super().on_start()
        self._fetched = Fetched(self._ensure_consumer()._fetcher)  # noqa: SLF001

    async def on_thread_stop(self) -> None:
        """Disconnect."""
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # While the broker is unreachable, aiokafka raises its own cancellation and stops
            # halfway; Faust would wait a minute for this thread to end.
            await self._ensure_consumer()._client.close()  # noqa: SLF001

    async def seek_to(self, tp: TP, offset: int, life: object) -> None:
        """See `BatchConsumer.seek_to`."""
        await self.call_thread(self._seek_to, tp, offset, life)

    async def _seek_to(self, tp: TP, offset: int, life: object) -> None:
        self._fetched.seek(tp, offset, life)

    async def is_ours(self, tp: TP) -> bool:
        """See `BatchConsumer.is_ours`."""
        return bool(await self.call_thread(self._is_ours, tp))

    async def _is_ours(self, tp: TP) -> bool:
        """Return whether the coordinator accepts a heartbeat of the generation that assigned it."""
        assignment = self.current_assignment()
        if assignment is None or tp not in assignment.tps:
            return False
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001
        heartbeat = HeartbeatRequest(
            coordinator.group_id, coordinator.generation, coordinator.member_id
        )
        async with asyncio.timeout(ANSWER_WITHIN_S):
            answer = await coordinator._send_req(heartbeat)  # noqa: SLF001
        error = for_code(answer.error_code)
        if error.retriable:  # it is no longer, or not yet, the coordinator
            raise error
        return error is NoError and self.current_assignment() is assignment

    async def epoch_end(self, tp: TP, epoch: int) -> int | None:
        """See `BatchConsumer.epoch_end`."""
        return cast("int | None", await self.call_thread(self._epoch_end, tp, epoch))

    async def _epoch_end(self, tp: TP, epoch: int) -> int | None:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await epoch_end(self._ensure_consumer()._client, tp, epoch)  # noqa: SLF001

    def current_assignment(self) -> Any:
        """Return aiokafka's assignment; None during a rebalance, when it is about to end."""
        subscription = self._ensure_consumer()._subscription.subscription  # noqa: SLF001
        if subscription is None or subscription._reassignment_in_progress:  # noqa: SLF001
            return None
        return subscription.assignment

    async def _fetch_records(  # type: ignore[override]  # in place of records, batches
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: Collection[TP] | None,
        timeout: float | None = None,  # noqa: ASYNC109 (Faust's signature)
        max_records: int | None = None,  # noqa: ARG002 (Faust's signature)
    ) -> list[RecordBatch | FetchFailure]:
        """Return available records of these partitions; runs in the consumer's thread."""
        if not self.consumer.flow_active:
            return []
        if consumer._closed or consumer._fetcher._closed:  # noqa: SLF001
            raise ConsumerStoppedError
        consumer._coordinator.check_errors()  # noqa: SLF001
        with consumer._subscription.fetch_context():  # noqa: SLF001
            return await self._fetched.take(active_partitions or (), timeout or 0.0)


class BatchConsumer(driver.Consumer):
    """Faust's consumer, a batch at a time."""

    _thread: _ConsumerThread

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: Any = None
        self._patiently = Patience(
            "broker", lambda error: isinstance(error, (KafkaError, TimeoutError))
        )
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
            self._batch_app.partitions.begin(set(map(self._ours, assignment.tps)))

    async def seek_to(self, tp: TP, offset: int, life: object) -> None:
        """Fetch from an offset on; the results carry the life.

        Does nothing if the partition is no longer assigned: then the life is over as well.
        """
        await self._thread.seek_to(self._there(tp), offset, life)

    async def is_ours(self, tp: TP) -> bool:
        """Ask the group whether a partition is currently this worker's.

        Also False while the group rebalances. Waits for an unreachable coordinator.
        """
        return await self._patiently(self._thread.is_ours, self._there(tp))

    async def epoch_end(self, tp: TP, epoch: int) -> int | None:
        """Return the current end of a leader epoch's log; None if the leader does not know it.

        Waits for an unreachable leader.
        """
        return await self._patiently(self._thread.epoch_end, self._there(tp), epoch)

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
        thread = self._thread
        wanted = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
        }
        commit = thread._ensure_consumer().commit  # noqa: SLF001

        async def commit_in_time() -> None:
            # aiokafka retries forever, and without a pause, if a topic was deleted.
            await asyncio.wait_for(commit(wanted), COMMIT_WITHIN_S)

        try:
            await thread.call_thread(commit_in_time)
        except (KafkaError, TimeoutError) as error:
            self.log.warning("Offsets not committed, retried with the next commit: %r", error)
            return False
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Ignore gaps: the offsets between two messages are those of a batch."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: /health tracks the positions."""


class Transport(driver.Transport):
    """The aiokafka transport with the consumer above."""

    Consumer = BatchConsumer
    driver_version = f"batches over {driver.Transport.driver_version}"
