"""What the broker says of the archived topics, and from where each partition is read."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin._listoffsets import OffsetSpec
from msgspec.structs import replace

from archive import metrics
from archive.writing.table_writer import TableWriter
from runtime.archive.positions import Position
from runtime.archive.tables import positions_of
from runtime.kafka.config import KafkaConfig
from runtime.kafka.lasting import Ask, LastingAdmin
from runtime.kafka.refusals import describe_error

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_TIMEOUT_S: Final = 5.0
_ANSWER_WITHIN_S: Final = 7.0
"""A client that has not even reported a timeout by then is stuck."""


Why = Literal["first", "goes on", "recreated", "lost its end", "dropped records"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the broker says of a partition."""

    topic_id: str
    earliest: int
    end: int
    partitions: int
    """of the topic"""


@dataclass(frozen=True, slots=True)
class Resumed:
    """From where a partition is read."""

    at: Position
    why: Why
    missing: int = 0
    """records between the table's position and there, which the log had dropped"""


class BrokerAwayError(OSError):
    """The broker does not answer, or has no such topic: it may later."""


class Broker:
    """Asks the broker; each call waits a few seconds for an answer."""

    def __init__(self, kafka: KafkaConfig) -> None:
        """Connects and reconnects automatically."""
        self._kafka = kafka
        self._admin = LastingAdmin(
            kafka,
            client_id="tickrec-archive",
            # Else a leader's epoch is asked for from the cache, minutes after it has changed.
            metadata_max_age_ms=3_000,
        )

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the ids of those topics that exist, by our names.

        Raises:
            BrokerAwayError: it does not answer.
        """
        names = [self._kafka.topic(topic) for topic in topics]
        answers = self._ask(
            lambda admin: admin.describe_topics(
                TopicCollection(names), request_timeout=_TIMEOUT_S
            ).values()
        )
        ids = {}
        for topic, answer in zip(topics, answers, strict=True):
            if not isinstance(answer, KafkaException):
                ids[topic] = str(answer.topic_id)
            elif answer.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise self._away(answer)
        return ids

    def bounds(self, topic: str, partitions: Collection[int]) -> dict[int, Bounds]:
        """Return what a topic's partitions are now.

        Raises:
            BrokerAwayError: it does not answer, or has no such topic.
        """
        topic_id = self.topic_ids([topic]).get(topic)
        n = self.partitions(topic)
        earliest, ends = (self._offsets(topic, partitions, spec) for spec in (_EARLIEST, _LATEST))
        if topic_id is None or self.topic_ids([topic]).get(topic) != topic_id:
            raise BrokerAwayError(f"topic {topic} is missing, or is being recreated")
        return {p: Bounds(topic_id, earliest[p], ends[p], n) for p in partitions}

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has.

        Raises:
            BrokerAwayError: it does not answer, or has no such topic.
        """
        name = self._kafka.topic(topic)
        try:
            n = len(self._admin.client.list_topics(name, _TIMEOUT_S).topics[name].partitions)
        except KafkaException as error:
            raise self._away(error) from None
        if not n:
            raise BrokerAwayError(f"topic {name} is not there: run `python -m operations.topics`")
        return n

    def _offsets(self, topic: str, partitions: Collection[int], spec: OffsetSpec) -> dict[int, int]:
        places = {Place(self._kafka.topic(topic), p): spec for p in partitions}
        answers = self._ask(
            lambda admin: admin.list_offsets(
                places,
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=_TIMEOUT_S,
            ).values()
        )
        offsets = {}
        for p, answer in zip(partitions, answers, strict=True):
            if isinstance(answer, KafkaException):
                raise self._away(answer)
            offsets[p] = answer.offset
        return offsets

    def _ask(self, ask: Ask[Any]) -> list[Any]:
        try:
            return self._admin.ask_now(ask, _ANSWER_WITHIN_S)
        except KafkaException as error:
            raise self._away(error) from None

    def _away(self, error: KafkaException) -> BrokerAwayError:
        why = self._admin.client.why_refused()
        return BrokerAwayError(
            f"the broker does not answer: {why or describe_error(error.args[0])}"
        )


def resume(before: Position | None, bounds: Bounds, *, is_refused: bool = False) -> Resumed:
    """Return from where a partition is read.

    Args:
        before: the table's position.
        bounds: what the broker says.
        is_refused: whether a fetch at the position was refused. Only that proves that the log
            ends before it, as the end that the broker reports may be too low.
    """
    topic_id, earliest, now = bounds.topic_id, bounds.earliest, (bounds.partitions,)
    if before is None:
        return Resumed(Position(topic_id, 0, earliest, now), "first")
    if before.topic_id != topic_id:
        # What it may have dropped before we came is missing as well.
        return Resumed(Position(topic_id, before.log + 1, earliest, now), "recreated", earliest)
    # If the topic got more partitions since, records from before that are still to come.
    if before.next < earliest:
        return Resumed(replace(before, next=earliest), "dropped records", earliest - before.next)
    if is_refused and before.next > bounds.end:
        # Other records may get offsets that the table already has: that is another log.
        return Resumed(replace(before, log=before.log + 1, next=bounds.end), "lost its end")
    return Resumed(before, "goes on")


log = structlog.get_logger(__name__)


def begin(
    writer: TableWriter, broker: Broker, numbers: Collection[int], *, is_refused: bool
) -> dict[int, int]:
    """Forget what was read of partitions, and return from which offset each is read.

    Args:
        writer: of the table.
        broker: of the topic.
        numbers: of the partitions.
        is_refused: whether a fetch at the position was refused, see `archive.reading.broker`.

    Raises:
        runtime.archive.positions.PositionsError: how far the table goes is unknown.
        Exception: as `runtime.archive.catalog.is_passing` knows it, while a server is unreachable.
    """
    topic = writer.table.topic.name
    # The table first: if another archive commits after that, our commit is refused.
    positions = positions_of(writer.stored.checked(), writer.table)
    bounds = broker.bounds(topic, numbers)
    offsets = {}
    for number in sorted(numbers):
        before = positions.get(number)
        resumed = resume(before, bounds[number], is_refused=is_refused)
        writer.buffer.begin(number, before, resumed.at)
        offsets[number] = resumed.at.next
        _log_begin(writer.table.name, number, resumed)
    return offsets


def _log_begin(table: str, number: int, resumed: Resumed) -> None:
    fields = {"table": table, "partition": number, "log": resumed.at.log, "offset": resumed.at.next}
    if resumed.missing:
        metrics.MISSING.labels(table).inc(resumed.missing)
        log.error(
            "records are missing: the log had dropped them", missing=resumed.missing, **fields
        )
    if resumed.why in ("recreated", "lost its end"):
        metrics.STARTED_OVER.labels(table).inc()
        log.error("a partition begins another log", why=resumed.why, **fields)
    elif not resumed.missing:
        log.info("a partition begins", why=resumed.why, **fields)
