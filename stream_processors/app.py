"""The Faust app, whose agents pass each batch to its partition.

Faust owns the consumer group, its rebalances and the agents (`stream_processors.agents`);
partitions own claims, positions, folds and flushes (`stream_processors.partition`).
"""

import asyncio
import time
from typing import Any, Final, cast

import faust
import structlog
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from runtime.kafka.broker import OpenTransactions
from stream_processors import metrics
from stream_processors.partition.assigned import AssignedPartitions, Make
from stream_processors.partition.state import PASSING, State
from stream_processors.settings import Settings
from stream_processors.transport.consumer import BatchConsumer
from stream_processors.transport.credentials import credentials
from stream_processors.transport.log import Log, LogEnd

log = structlog.get_logger()

# With Faust's default, a first join takes 30 s.
_REBALANCE_TIMEOUT_S: Final = 6.0
# A member learns from its next heartbeat that others wait for it to rejoin.
_HEARTBEAT_S: Final = 2.0
# A group leader whose metadata has no topics, as right after a broker restart, assigns nothing
# until its next metadata refresh. Faust's default is 5 minutes.
_METADATA_AGE_MS: Final = 5_000
# An event is a batch of thousands of records, and waits here only until its agent's turn.
_BATCHES_IN_A_CHANNEL: Final = 4
_MAX_FETCH_BYTES: Final = 1 << 20
_LOOK_EVERY_S: Final = 2.0
# How long an assigned partition may go unfolded, in case an event was missed, before a restart.
_SESSIONS_WITHOUT_A_CLAIM: Final = 3


class ReplacedError(RuntimeError):
    """Kafka assigned us a partition that is not being folded here."""


class StreamProcessors(faust.App):
    """The app; implements what the batch transport needs (`transport.consumer.BatchApp`)."""

    def __init__(
        self, settings: Settings, group: str, topics: list[str], make: Make, log_ends: Log
    ) -> None:
        """Take the settings, the consumer group, the topics, a partition factory, and the log."""
        super().__init__(
            group,
            broker=[f"batches://{b}" for b in settings.kafka.bootstrap_servers.split(",")],
            broker_credentials=credentials(settings.kafka),
            store="memory://",
            topic_disable_leader=True,
            web_enabled=False,
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=_HEARTBEAT_S,
            broker_rebalance_timeout=_REBALANCE_TIMEOUT_S,
            consumer_group_instance_id=settings.group_instance_id,
            consumer_metadata_max_age_ms=_METADATA_AGE_MS,
            consumer_max_fetch_size=_MAX_FETCH_BYTES,
            stream_buffer_maxsize=_BATCHES_IN_A_CHANNEL,
        )
        self.kafka = settings.kafka
        self.partitions = AssignedPartitions(make, topics, self._fail)
        self._crashing: asyncio.Future[None] | None = None
        self._topics = topics
        self._log_ends = log_ends
        self._ends: dict[TP, LogEnd] = {}
        self._ends_s = 0.0
        """when the broker last reported them"""
        self._open_transactions = OpenTransactions[TP]()
        self._unfolded_since: dict[TP, float] = {}
        self._replaced_for_s = _SESSIONS_WITHOUT_A_CLAIM * settings.session_timeout_s
        self.timer(_LOOK_EVERY_S, name="report")(self._report)
        self.task(self._follow_ends, traced=False)
        self.on_partitions_revoked.connect(self._revoke)
        self.on_before_shutdown.connect(self._before_shutdown)

    def assigned(self) -> set[TP]:
        """Return the partitions that the group has assigned to this worker."""
        try:
            return set(cast("BatchConsumer", self.consumer).assigned())
        except ConsumerNotStarted:
            return set()

    def work(self) -> dict[TP, int]:
        """Return how many records of each assigned partition are waiting, as far as known."""
        folded = {partition.tp: partition.folded_offset for partition in self.partitions}
        return {
            tp: max(0, self._ends[tp].stable - folded.get(tp, 0)) if tp in self._ends else 0
            for tp in self.assigned()
        }

    def held_back(self) -> dict[TP, int]:
        """Return how many records are held back by open transactions."""
        return {tp: at.end - at.stable for tp, at in self._ends.items() if at.end > at.stable}

    def _create_directories(self) -> None:
        """Create no table: the state is in Redis."""

    def _fail(self, error: BaseException) -> None:
        """End the process: a restart recovers everything."""
        self._crashing = asyncio.ensure_future(self.crash(error))

    async def _follow_ends(self) -> None:
        """Keep asking the broker for the logs' end offsets."""
        while not self.should_stop:
            assigned = self.assigned()
            if assigned:
                self._ends = await self._log_ends.ends(assigned)
                self._ends_s = time.monotonic()
            await self.sleep(_LOOK_EVERY_S)

    async def _report(self) -> None:
        """Update lag and state metrics, and look for assigned partitions that we do not fold."""
        now_s = time.monotonic()
        self._report_lags()
        self._report_states(now_s)
        self._check_folded(now_s)

    def _report_lags(self) -> None:
        gauges = (metrics.LAG, metrics.HELD_BACK, metrics.OPEN_TRANSACTION)
        for gauge in gauges:
            gauge.clear()
        held = self.held_back()
        # Until the broker answers again, this is out of date.
        stable = {tp: self._ends[tp].stable for tp in held}
        open_s = self._open_transactions.seconds(stable, self._ends_s)
        for tp, offset in self.partitions.flushed_offsets().items():
            if tp in self._ends:
                values = (max(0, self._ends[tp].end - offset), held.get(tp, 0), open_s.get(tp, 0))
                for gauge, value in zip(gauges, values, strict=True):
                    gauge.labels(tp.topic, str(tp.partition)).set(value)

    def _report_states(self, now_s: float) -> None:
        number = {(topic, state): 0 for topic in self._topics for state in State}
        passing_s = dict.fromkeys(self._topics, 0.0)
        for partition in self.partitions:
            topic = partition.tp.topic
            number[topic, partition.state] += 1
            if partition.state in PASSING:
                passing_s[topic] = max(passing_s[topic], now_s - partition.since_s)
        for (topic, state), n in number.items():
            metrics.STATES.labels(topic, str(state)).set(n)
        for topic, seconds in passing_s.items():
            metrics.PASSING.labels(topic).set(seconds)

    def _check_folded(self, now_s: float) -> None:
        """Raise if a partition has long been assigned to us, and is not folded here.

        Regardless of whether Faust believes it is rebalancing: it may never notice the end.
        """
        ours = {p.tp for p in self.partitions if p.state is not State.REPLACED}
        unfolded = self.assigned() - ours
        self._unfolded_since = {tp: self._unfolded_since.get(tp, now_s) for tp in unfolded}
        for tp, since_s in self._unfolded_since.items():
            if now_s - since_s > self._replaced_for_s:
                raise ReplacedError(
                    f"{tp.topic}/{tp.partition} is assigned to this worker, which does not fold "
                    "it, as another worker has claimed it in Redis: restarting"
                )

    async def _revoke(self, _app: Any, /, *arguments: Any, signal: Any, **_: Any) -> None:  # noqa: ARG002 (Faust's signature)
        await self.partitions.revoke(arguments[0])

    async def _before_shutdown(self, _app: Any, /, *_arguments: Any, signal: Any, **_: Any) -> None:  # noqa: ARG002 (Faust's signature)
        await self.partitions.revoke([partition.tp for partition in self.partitions])
