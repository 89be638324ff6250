"""The thread that aiokafka's consumer runs in, and how a partition reads by it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import ConsumerStoppedError, KafkaError, NoError, for_code
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream_processors.patience import BROKER, Patience
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.fetched import Fetched, FetchFailure
from stream_processors.transport.leader_epochs import epoch_end

COMMIT_WITHIN_S: Final = 2.0
ANSWER_WITHIN_S: Final = 5.0
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


class RoundRobin(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """Assigns the partitions round-robin, to members in the order of their ids.

    A static member that returns gets its former partitions, unless its metadata changed: then the
    broker triggers a full rebalance. Faust's own assignor includes the last assignment in the
    metadata, and aiokafka's lists the topics in the order of a set.
    """

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> Any:
        """Return a member's metadata, the same for the same topics."""
        return super().metadata(sorted(topics))


class ConsumerThread(driver.AIOKafkaConsumerThread):
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

    async def fetch_from(self, tp: TP, offset: int, life: object) -> None:
        """See `PartitionReader.seek`."""
        self._fetched.seek(tp, offset, life)

    async def is_ours(self, tp: TP) -> bool:
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
        """See `leader_epochs.epoch_end`."""
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await epoch_end(self._ensure_consumer()._client, tp, epoch)  # noqa: SLF001

    async def commit_in_time(self, offsets: Mapping[TP, int]) -> None:
        """Commit offsets to Kafka.

        Raises:
            aiokafka.errors.KafkaError: the coordinator refuses them.
            TimeoutError: it does not answer; aiokafka retries forever, and without a pause, if a
                topic was deleted.
        """
        wanted = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
        }
        await asyncio.wait_for(self._ensure_consumer().commit(wanted), COMMIT_WITHIN_S)

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


class PartitionReader:
    """An assigned partition, for the life that folds it: on the main loop."""

    def __init__(self, thread: ConsumerThread, tp: TP) -> None:
        """Take the consumer's thread, and the partition as the broker names it."""
        self._thread = thread
        self._tp = tp
        self._patiently = Patience(
            BROKER, lambda error: isinstance(error, (KafkaError, TimeoutError))
        )

    async def seek(self, offset: int, life: object) -> None:
        """Fetch from an offset on; the results carry the life.

        Does nothing if the partition is no longer assigned: then the life is over as well.
        """
        await self._thread.call_thread(self._thread.fetch_from, self._tp, offset, life)

    async def is_ours(self) -> bool:
        """Ask the group whether the partition is currently this worker's.

        Also False while the group rebalances. Waits for an unreachable coordinator.
        """
        return bool(await self._ask(self._thread.is_ours, self._tp))

    async def epoch_end(self, epoch: int) -> int | None:
        """Return the current end of a leader epoch's log; None if the leader does not know it.

        Waits for an unreachable leader.
        """
        return cast("int | None", await self._ask(self._thread.epoch_end, self._tp, epoch))

    async def _ask(self, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return await self._patiently(self._thread.call_thread, call, *arguments)
