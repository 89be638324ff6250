"""The Faust app: one agent a topic, partitions claimed in Redis before they are read."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import faust
import structlog
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES, STREAMED
from runtime.topology import Topology
from stream_processors import metrics
from stream_processors.bars.agent import BarPartition
from stream_processors.cooccurrences.agent import CooccurrencePartition
from stream_processors.dead_letters import DeadLetters
from stream_processors.histories.affinities import binary, weighted
from stream_processors.histories.agent import HistoryPartition
from stream_processors.histories.user_weights import InverseDegree, MeanValue, UserWeight
from stream_processors.processing import Processor
from stream_processors.publisher import Publisher
from stream_processors.settings import Settings
from stream_processors.sink import Sink
from stream_processors.topic_ids import TopicIds
from stream_processors.transport import BatchSchema, LogBounds, RecordBatch
from stream_processors.turns import Turns

log = structlog.get_logger()

# The group's timings: Faust's defaults make a first join take 30 s.
_SESSION_TIMEOUT_S: Final = 10.0
_HEARTBEAT_S: Final = 3.0
_REBALANCE_TIMEOUT_S: Final = 6.0
# A group leader whose metadata lacked the topics, as right after a broker's restart, assigns
# nothing to anyone; it finds out with the next metadata. Faust's default is 5 minutes.
_METADATA_AGE_MS: Final = 5_000
# An event is a batch of thousands of records: a few of them fill the memory that one may use.
_BATCHES_ON_BOARD: Final = 4
_MAX_FETCH_BYTES: Final = 1 << 20
# A worker that lost a partition to another one and is still assigned it by the group starts again.
_REPLACED_FOR_S: Final = 3 * _SESSION_TIMEOUT_S


class ReplacedError(RuntimeError):
    """Kafka says that a partition is ours, Redis that it is another worker's."""


class StreamProcessors(faust.App):
    """The app, with what the batch transport asks of it (`transport.BatchApp`)."""

    def __init__(
        self, settings: Settings, sink: Sink, topic_ids: TopicIds, processors: list[Processor]
    ) -> None:
        super().__init__(
            sink.keyspace.consumer_group(),
            broker=[f"batches://{b}" for b in settings.kafka_bootstrap_servers.split(",")],
            store="memory://",
            topic_disable_leader=True,
            web_enabled=False,
            broker_session_timeout=_SESSION_TIMEOUT_S,
            broker_heartbeat_interval=_HEARTBEAT_S,
            broker_rebalance_timeout=_REBALANCE_TIMEOUT_S,
            consumer_metadata_max_age_ms=_METADATA_AGE_MS,
            consumer_max_fetch_size=_MAX_FETCH_BYTES,
            consumer_auto_offset_reset="earliest",
            stream_buffer_maxsize=_BATCHES_ON_BOARD,
        )
        self.sink = sink
        self._topic_ids = topic_ids
        self.processors = {processor.topic.name: processor for processor in processors}
        self._unclaimed_since: dict[TP, float] = {}
        for processor in processors:
            self._add_agent(processor)
            self._add_flushes(processor, settings.flush_interval_s)
        self.timer(settings.flush_interval_s, name="look")(self._look)
        self.on_partitions_revoked.connect(self._revoke)
        self.on_before_shutdown.connect(self._before_shutdown)

    async def resume(self, bounds: Mapping[TP, LogBounds]) -> Mapping[TP, int]:
        """Claim the partitions in Redis, and say where to read on."""
        topic_ids = await self._topic_ids.of({tp.topic for tp in bounds})
        return {
            tp: await self._resume(tp, topic_ids[tp.topic], log_bounds)
            for tp, log_bounds in bounds.items()
        }

    async def positions(self, tps: Iterable[TP]) -> Mapping[TP, int]:
        """Return the positions in Redis."""
        return {
            tp: await self.sink.next_offset(self.processors[tp.topic].topic, tp.partition)
            for tp in tps
        }

    def flushed_offsets(self) -> Mapping[TP, int]:
        """Return the positions as they were last written."""
        return {
            TP(topic, number): partition.claim.next_offset
            for topic, processor in self.processors.items()
            for number, partition in processor.partitions.items()
        }

    def lags(self) -> dict[TP, int]:
        """Return how many records of each assigned partition are not in Redis yet."""
        try:
            assigned = self.consumer.assignment()
        except ConsumerNotStarted:
            return {}
        flushed = self.flushed_offsets()
        return {
            tp: max(0, (self.consumer.highwater(tp) or 0) - flushed.get(tp, 0)) for tp in assigned
        }

    async def _resume(self, tp: TP, topic_id: str, bounds: LogBounds) -> int:
        processor = self.processors[tp.topic]
        claim = await self.sink.claim(processor.topic, topic_id, tp.partition, bounds)
        processor.assign(claim)
        return claim.next_offset

    def _create_directories(self) -> None:
        """Make none: the state is in Redis."""

    def _add_agent(self, processor: Processor) -> None:
        topic = self.topic(processor.topic.name, schema=BatchSchema(), acks=True)

        @self.agent(topic, name=processor.name)
        async def agent(batches: Any) -> None:
            async for batch in batches:
                await self._process(processor, batch)

    def _add_flushes(self, processor: Processor, interval_s: float) -> None:
        async def flush_in_turn() -> None:
            """Flush one partition after the other; an error ends the process."""
            turns = Turns(interval_s, time.monotonic())
            while not self.should_stop:
                if not processor.partitions:
                    await self.sleep(interval_s)
                    continue
                turn = turns.next(processor.partitions, time.monotonic())
                await self.sleep(turn.in_s)
                await processor.flush_one(turn.partition)

        self.task(flush_in_turn, traced=False)

    async def _process(self, processor: Processor, batch: RecordBatch) -> None:
        """Process a batch; an error ends the process, as Faust would take the batch for done."""
        try:
            await self._count_gap(processor, batch)
            await processor.process(batch)
        except Exception as error:
            log.exception("a batch could not be processed", topic=batch.tp.topic)
            await self.crash(error)
            await asyncio.Event().wait()  # never asks for the next batch, which would ack this one

    async def _count_gap(self, processor: Processor, batch: RecordBatch) -> None:
        """Count what the log dropped since the last batch: aiokafka goes on at its beginning.

        Offsets alone do not tell: a transaction's end takes one, too.
        """
        partition = processor.partitions.get(batch.tp.partition)
        first = batch.records[0].offset
        if partition is None or first <= partition.next_offset:
            return
        earliest = (await self.consumer.earliest_offsets(batch.tp))[batch.tp]
        missing = min(earliest, first) - partition.next_offset
        if missing > 0:
            metrics.GAP.labels(batch.tp.topic).inc(missing)
            log.error(
                "the log dropped records that were still to be folded",
                topic=batch.tp.topic,
                partition=batch.tp.partition,
                missing=missing,
                earliest=earliest,
            )

    async def _look(self) -> None:
        """Tell the lags, and whether partitions are ours that Redis says are not."""
        lags = self.lags()
        for topic in self.processors:
            metrics.LAG.labels(topic).set(sum(lag for tp, lag in lags.items() if tp.topic == topic))
        self._check_claims(set(lags))

    def _check_claims(self, assigned: set[TP]) -> None:
        now = time.monotonic()
        unclaimed = assigned - self.flushed_offsets().keys()
        self._unclaimed_since = {tp: self._unclaimed_since.get(tp, now) for tp in unclaimed}
        for tp, since in self._unclaimed_since.items():
            if now - since > _REPLACED_FOR_S and not self.rebalancing:
                raise ReplacedError(
                    f"{tp.topic}/{tp.partition} is assigned to this worker, but another one has "
                    "claimed it in Redis: starting again"
                )

    async def _revoke(self, _app: Any, /, *arguments: Any, signal: Any, **_: Any) -> None:  # noqa: ARG002 (Faust's signature)
        revoked: set[TP] = arguments[0]
        for topic, processor in self.processors.items():
            await processor.revoke({tp.partition for tp in revoked if tp.topic == topic})

    async def _before_shutdown(self, _app: Any, /, *_arguments: Any, signal: Any, **_: Any) -> None:  # noqa: ARG002 (Faust's signature)
        for processor in self.processors.values():
            await processor.flush()


def build(
    settings: Settings, sink: Sink, publisher: Publisher, topology: Topology
) -> StreamProcessors:
    """Return the app with its three agents."""
    dead_letters = DeadLetters(publisher)
    retention = settings.bars_retention_minutes
    affinity = weighted(settings.half_life_days) if settings.affinity == "weighted" else binary
    weight = user_weight(settings)
    for topic in STREAMED:
        metrics.TOPIC_PARTITIONS.labels(topic.name).set(getattr(topology, topic.name))
    return StreamProcessors(
        settings,
        sink,
        TopicIds(settings.kafka_bootstrap_servers),
        [
            Processor(
                QUOTES,
                "bars",
                lambda claim: BarPartition(claim, sink, dead_letters, topology.quotes, retention),
            ),
            Processor(
                INTERACTIONS,
                "histories",
                lambda claim: HistoryPartition(
                    claim,
                    sink,
                    publisher,
                    dead_letters,
                    topology,
                    affinity,
                    settings.history_cap,
                    weight,
                ),
            ),
            Processor(
                COOCCURRENCES,
                "cooccurrences",
                lambda claim: CooccurrencePartition(claim, sink, dead_letters),
            ),
        ],
    )


def user_weight(settings: Settings) -> UserWeight | None:
    """Return the rule that the settings name, None if all users count alike."""
    exponent = settings.user_weight_exponent
    if settings.user_weight == "inverse-degree":
        return InverseDegree(exponent)
    if settings.user_weight == "value":
        return MeanValue(exponent, settings.typical_value)
    return None


async def read_topology(sink: Sink, publisher: Publisher) -> Topology:
    """Return the partitions as noted in Redis, checked against the broker's.

    Raises:
        TopologyError: nothing is noted, or the broker has other numbers.
    """
    flat = await sink.hash_of(sink.keyspace.topics())
    topology = Topology.from_hash(flat)
    for topic in STREAMED:
        topology.check(topic.name, await publisher.partitions_of(topic.name))
    return topology
