"""The consumer that yields batches, resumes where Redis stands, and commits what Redis holds.

Subclasses Faust's aiokafka driver. What it changes, and why:

- `getmany` yields one message a partition and fetch; `fetched` keeps aiokafka from making a record
  an object before.
- A fetch waits for `_FETCH_MIN_BYTES`, but no longer than `_FETCH_MAX_WAIT_MS`.
- `perform_seek` asks the application where to resume: positions are kept beside the values that
  they cover, Kafka's committed offsets are telemetry.
- Nothing is dropped between a seek and the first fetch: both hold one lock, so a fetch that began
  before a seek can deliver nothing after it.
- `ack` only ends the wait of a rebalance; `force_commit` commits the positions that were flushed.
  Faust's bookkeeping of acked offsets and gaps would cost a list entry for each record.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import Any, Protocol, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message
from mode.utils.futures import notify

from stream_processors.transport.batches import LogBounds, RecordBatch
from stream_processors.transport.fetched import as_runs

FETCH_TIMEOUT_S = 1.0
COMMIT_WITHIN_S = 2.0
# aiokafka has one fetch in flight to a broker. While the records of some partitions wait to be
# taken it is for the others, and holds up all if those have nothing: Faust's 1.5 s halved the rate.
_FETCH_MAX_WAIT_MS = 50
# A live feed would be fetched every few ms, a handful of records a partition at a time, and each
# event's changes published on their own. It is the sum over partitions that the broker waits for,
# so one that is idle delays the others by no more than the wait above.
_FETCH_MIN_BYTES = 1 << 17


class BatchApp(Protocol):
    """What the transport needs of the application."""

    async def resume(self, bounds: Mapping[TP, LogBounds]) -> Mapping[TP, int]:
        """Take over the partitions; return the offset at which to read on, for each."""

    async def positions(self, tps: Iterable[TP]) -> Mapping[TP, int]:
        """Return the next offset of each partition, as Redis has it."""

    def flushed_offsets(self) -> Mapping[TP, int]:
        """Return the next offset of each claimed partition, as it was last written."""


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_MAX_WAIT_MS  # noqa: SLF001
        consumer._fetch_min_bytes = _FETCH_MIN_BYTES  # noqa: SLF001
        consumer._value_deserializer = as_runs  # noqa: SLF001
        return consumer


class BatchConsumer(driver.Consumer):
    """Faust's consumer, a batch at a time."""

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fetching = asyncio.Lock()

    @property
    def _batch_app(self) -> BatchApp:
        return cast("BatchApp", self.app)

    async def perform_seek(self) -> None:
        """Seek every assigned partition to where Redis stands."""
        async with self._fetching:
            tps = self.assignment()
            if not tps:
                return
            earliest = await self.earliest_offsets(*tps)
            ends = await self._ends(tps)
            bounds = {tp: LogBounds(_of(earliest, tp), _of(ends, tp)) for tp in tps}
            for tp, offset in (await self._batch_app.resume(bounds)).items():
                await self.seek(tp, offset)

    async def _ends(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the logs' ends; where Redis stands beyond one, a fetch has to confirm it.

        Tansu 0.6 lists the first offset of the last batch + 1 as the end.
        """
        ends = dict(await self.highwaters(*tps))
        for tp, position in (await self._batch_app.positions(tps)).items():
            if position > _of(ends, tp):
                ends[tp] = max(_of(ends, tp), await self._highwater_of_fetch(tp, position))
        return ends

    async def _highwater_of_fetch(self, tp: TP, offset: int) -> int:
        """Return the high watermark that a fetch at an offset answers, 0 if it is out of range."""
        transport = cast("driver.Transport", self.transport)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            auto_offset_reset="none",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(tp.topic, tp.partition)])
            consumer.seek(TopicPartition(tp.topic, tp.partition), offset)
            await consumer.getmany(timeout_ms=int(FETCH_TIMEOUT_S * 1000))
            return consumer.highwater(TopicPartition(tp.topic, tp.partition)) or 0
        except OffsetOutOfRangeError:
            return 0
        finally:
            await consumer.stop()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 (Faust's signature)
        """Fetch once, and yield what came as one message a partition."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        async with self._fetching:
            if not self.flow_active:
                return
            records, active = await self._wait_next_records(min(timeout, FETCH_TIMEOUT_S))
            generation_id = self.app.consumer_generation_id
            if not records or self.should_stop or not self.flow_active:
                return  # a rebalance is on its way: it seeks before the flow resumes
        for tp, batch in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation_id:
                return
            if active is None or tp in active or tp in self._buffered_partitions:
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, self._to_message(tp, batch)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        records = [one for run in record for one in run]
        first, last = records[0], records[-1]
        tp = TP(tp.topic, tp.partition)
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            first.headers,
            first.key,
            cast("bytes", RecordBatch(tp, records)),
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    def ack(self, message: Message) -> bool:
        """Note that an agent is done with a batch; what is kept of it, the flush decides."""
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
            tp: offset
            for tp, offset in self._batch_app.flushed_offsets().items()
            if tp in assigned and offset > (self._committed_offset[tp] or 0)
        }
        if not offsets or not await self._commit(offsets):
            return False
        self._committed_offset.update(offsets)
        self.app.monitor.on_tp_commit(offsets)
        return True

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; a failure is logged and made good by the next one."""
        thread = self._thread
        wanted = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
        }
        commit = thread._ensure_consumer().commit  # noqa: SLF001

        async def commit_in_time() -> None:
            # aiokafka tries again without end, and without a pause, if a topic was deleted.
            await asyncio.wait_for(commit(wanted), COMMIT_WITHIN_S)

        try:
            await thread.call_thread(commit_in_time)
        except (KafkaError, TimeoutError) as error:
            self.log.warning("Offsets not committed, tried again with the next: %r", error)
            return False
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Note nothing: between two batches' last offsets lies a batch, not a gap."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave it to /health, which follows the positions."""


class Transport(driver.Transport):
    """The aiokafka transport with the consumer above."""

    Consumer = BatchConsumer
    driver_version = f"batches over {driver.Transport.driver_version}"


def _of(offsets: Mapping[Any, int], tp: TP) -> int:
    """Look a partition up among Faust's or aiokafka's, which compare as equal tuples."""
    return offsets[tp]
