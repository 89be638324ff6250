"""The ends of Kafka's logs: one call at a time; callers within the same second share one answer.

The ends include uncommitted records; how many an open transaction holds back is reported, too.
(Tansu reports the offset after the first record of the last batch instead.)
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import ListOffsetsResultInfo, OffsetSpec

from contracts.topics import STREAMED, dead_letters
from runtime.kafka.config import KafkaConfig
from runtime.kafka.lasting import LastingAdmin
from runtime.kafka.refusals import describe_error
from runtime.kafka.tokens import TokenError
from runtime.topology import Topology

KEPT_S: Final = 1.0
ANSWER_WITHIN_S: Final = 1.0
_RATE_OVER_S: Final = 10.0
"""Rates are computed since an earlier answer, of about this age if there is one."""

_LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]

Partition = tuple[str, int]
"""Log name and partition number."""


@dataclass(frozen=True, slots=True)
class LogEnds:
    """What Kafka answered."""

    ends: Mapping[Partition, int] = field(default_factory=dict)
    held_back: Mapping[Partition, int] = field(default_factory=dict)
    """number of records before the end that an open transaction holds back"""
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    """by topic"""
    rates: Mapping[str, float] = field(default_factory=dict)
    """topic -> incoming records per second; empty until there are two answers"""
    failure: str | None = None
    """why there is no answer, or why one of the logs is missing"""


class LogWatch:
    """Queries Kafka for the ends of logs."""

    def __init__(self, kafka: KafkaConfig, now_s: Callable[[], float]) -> None:
        self._kafka = kafka
        self._now_s = now_s
        self._admin = LastingAdmin(
            kafka,
            client_id="api-pipeline",
            reconnect_backoff_max_ms=1000,
            # Otherwise a cached leader epoch is used, minutes after it has changed.
            metadata_max_age_ms=3_000,
        )
        self._asking: asyncio.Task[LogEnds] | None = None
        self._asked_at = 0.0
        self._before: list[tuple[float, Mapping[Partition, int]]] = []

    async def ends(self, topology: Topology) -> LogEnds:
        """Return Kafka's answer of the last second, or a new one, in bounded time."""
        asking = self._asking
        if asking is None or (asking.done() and self._now_s() - self._asked_at > KEPT_S):
            self._asked_at = self._now_s()
            asking = self._asking = asyncio.create_task(self._ask(topology))
        return await asyncio.shield(asking)

    async def aclose(self) -> None:
        """Close librdkafka, whose threads would otherwise keep trying to reach the broker."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        await asyncio.to_thread(self._admin.close().join)

    async def _ask(self, topology: Topology) -> LogEnds:
        streamed = [
            (topic.name, number) for topic in STREAMED for number in range(topology.of(topic))
        ]
        dead = [(dead_letters(topic).name, 0) for topic in STREAMED]
        logs = [*streamed, *streamed, *dead, *dead]
        servers = self._kafka.bootstrap_servers
        try:
            offsets = await self._admin.ask(
                lambda admin: [
                    # In this order: otherwise, records committed in between would look held back.
                    *self._asked(admin, streamed, _LATEST, IsolationLevel.READ_UNCOMMITTED),
                    *self._asked(admin, [*streamed, *dead], _LATEST),
                    *self._asked(admin, dead, _EARLIEST),
                ],
                within_s=ANSWER_WITHIN_S,
            )
        except TokenError as error:
            return LogEnds(failure=str(error))
        except KafkaException as error:
            return LogEnds(failure=f"{servers}: {describe_error(error.args[0])}")
        failures = (
            f"{servers}: {log}: {describe_error(offset.args[0])}"
            for (log, _), offset in zip(logs, offsets, strict=True)
            if isinstance(offset, KafkaException)
        )
        failure = next(failures, None)
        n = len(streamed)
        all_ends = _known(streamed, offsets[:n])
        latest = _known([*streamed, *dead], offsets[n : -len(dead)])
        if not latest:
            return LogEnds(failure=failure)
        earliest = _known(dead, offsets[-len(dead) :])
        ends = {
            partition: max(all_ends[partition], latest[partition])
            for partition in streamed
            if partition in all_ends and partition in latest
        }
        held_back = {partition: end - latest[partition] for partition, end in ends.items()}
        letters = {
            topic.name: latest[partition] - earliest[partition]
            for topic, partition in zip(STREAMED, dead, strict=True)
            if partition in latest and partition in earliest
        }
        # A partition without an end now would have no rate the next time.
        rates = self._rates(ends) if failure is None else {}
        return LogEnds(ends, held_back, letters, rates, failure)

    def _asked(
        self,
        admin: AdminClient,
        of: Sequence[Partition],
        spec: OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> Iterable[Future[Any]]:
        """Request an offset of each partition; the answers are in the same order."""
        asked: dict[TopicPartition, Future[Any]] = admin.list_offsets(
            {TopicPartition(self._kafka.topic(log), number): spec for log, number in of},
            isolation_level=isolation,
            request_timeout=ANSWER_WITHIN_S,
        )
        return asked.values()

    def _rates(self, ends: Mapping[Partition, int]) -> dict[str, float]:
        now = self._now_s()
        before = self._before
        before.append((now, ends))
        while len(before) > 2 and now - before[1][0] >= _RATE_OVER_S:
            del before[0]
        then, former = before[0]
        passed = now - then
        if not passed:
            return {}
        came: Counter[str] = Counter()
        for partition in ends.keys() & former.keys():
            came[partition[0]] += max(0, ends[partition] - former[partition])
        return {log: round(number / passed, 1) for log, number in came.items()}


def _known(
    of: Sequence[Partition], answers: Sequence[ListOffsetsResultInfo | KafkaException]
) -> dict[Partition, int]:
    return {
        partition: answer.offset
        for partition, answer in zip(of, answers, strict=True)
        if not isinstance(answer, KafkaException)
    }
