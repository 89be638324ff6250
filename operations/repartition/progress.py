"""Reads the old logs' ends and earlier copies' progress, and checks that a copy may resume."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, ParamSpec, TypeVar

import tenacity
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin._listoffsets import OffsetSpec

from contracts.topics import Topic
from operations.repartition.placement import COPIED, Partitions
from runtime.kafka import broker
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import Right, check_rights

_CALL_S: Final = 30
_AGAIN_S: Final = 0.1
_PASSING: Final = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
)
P = ParamSpec("P")
T = TypeVar("T")

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Partition = tuple[str, int]
"""A topic on the broker, and the number."""
Offsets = Mapping[Partition, int]


class CopyError(RuntimeError):
    """The topics cannot be copied, or not to their ends."""


@dataclass(slots=True)
class Copied:
    """A topic, and the copy's counts."""

    topic: Topic
    old_name: str
    """on the broker"""
    new_name: str
    partitions: Partitions
    records: int = 0
    left_out: int = 0
    """rejected by the workers"""
    archived: int = 0
    """of `records`: those that Kafka had deleted, read from the archive"""
    deleted: int = 0
    """offsets that Kafka deleted since the last copy, before they were copied"""

    def old_partitions(self) -> list[Partition]:
        """Return the partitions of the old topic."""
        return [(self.old_name, number) for number in range(self.partitions.before)]


def patiently(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call, retrying while a coordinator or a leader is elected or loading.

    Raises:
        KafkaException: that takes too long, or another error.
    """
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_passing),
        stop=tenacity.stop_after_delay(_CALL_S),
        wait=tenacity.wait_fixed(_AGAIN_S),
        reraise=True,
    )
    return again(call, *args, **kwargs)


def _is_passing(error: BaseException) -> bool:
    if not isinstance(error, KafkaException):
        return False
    return bool(error.args[0].retriable()) or error.args[0].code() in _PASSING


def find(client: Admin, old: KafkaConfig, new: KafkaConfig, group: str) -> list[Copied]:
    """Return the topics to copy.

    Raises:
        CopyError: some are missing, or the broker has no transactions.
        runtime.kafka.rights.RightsError: the user is missing a right on topics or the group.
        broker.BrokerError: the broker does not answer.
        KafkaException: it does not report the user's rights.
    """
    if old.prefix == new.prefix:
        raise CopyError(
            f"--from-prefix {old.prefix!r} is KAFKA_PREFIX itself: set KAFKA_PREFIX to that of the "
            "new topics"
        )
    if broker.is_tansu(client):
        raise CopyError(
            "Tansu shows readers the records of aborted transactions, so a killed copy would "
            "count records twice: this needs Apache Kafka"
        )
    check_rights(client, old, [Right("READ", "topic", topic.name) for topic in COPIED])
    writing = [Right("WRITE", "topic", topic.name) for topic in COPIED]
    check_rights(client, new, [*writing, Right("READ", "group", group)])
    there = broker.partitions_of(client)
    names = [(kafka.topic(topic.name), kafka) for topic in COPIED for kafka in (old, new)]
    missing = [(name, kafka) for name, kafka in names if name not in there]
    if missing:
        name, kafka = missing[0]
        remedy = "is --from-prefix right?" if kafka is old else (
            "run `python -m operations.topics --partitions TOPIC=N` with the new KAFKA_PREFIX and "
            "a NAMESPACE of its own first"
        )  # fmt: skip
        raise CopyError(f"there is no topic {name}: {remedy}")
    return [
        Copied(topic, before, after, Partitions(there[before], there[after]))
        for topic in COPIED
        for before, after in [(old.topic(topic.name), new.topic(topic.name))]
    ]


def ends(client: Admin, topics: Sequence[Copied]) -> Offsets:
    """Return the current ends of the old logs, including open transactions.

    Raises:
        KafkaException: the broker does not report it.
    """
    return _offsets(client, _old_partitions(topics), _LATEST)


class Starts(NamedTuple):
    """Where a copy resumes in each partition, and where the log now begins."""

    next: dict[Partition, int]
    """may precede the log's beginning: Kafka has deleted what is between"""
    earliest: Offsets


def starts(
    client: Admin,
    consumer: Consumer,
    topics: Sequence[Copied],
    end: Offsets,
    from_zero: Collection[Topic] = (),
) -> Starts:
    """Return where to resume.

    Args:
        client: to read where the logs begin.
        consumer: to read the progress of copies.
        topics: to copy.
        end: of their logs.
        from_zero: for these a first copy begins at offset 0, for others where the log begins.

    Raises:
        CopyError: the new topics have records that no copy wrote, or the old ones were replaced.
        KafkaException: the broker does not report it.
    """
    partitions = _old_partitions(topics)
    committed = _committed(consumer, partitions)
    earliest = _offsets(client, partitions, _EARLIEST)
    for topic in topics:
        its = topic.old_partitions()
        if any(committed[one] < 0 for one in its):
            _check_untouched(client, topic)
            first = 0 if topic.topic in from_zero else None
            committed.update((one, earliest[one] if first is None else first) for one in its)
        if any(committed[one] > end[one] for one in its):
            raise CopyError(
                f"{topic.old_name} ends before what was copied of it, so it was recreated. Start "
                "over with another KAFKA_PREFIX and NAMESPACE"
            )
    return Starts(committed, earliest)


def _committed(consumer: Consumer, partitions: list[TopicPartition]) -> dict[Partition, int]:
    """Return the progress of copies; below 0 if there was none.

    Raises:
        KafkaException: the broker does not report it.
    """
    committed: dict[Partition, int] = {}
    for at in patiently(consumer.committed, partitions, timeout=_CALL_S):
        if at.error is not None:
            raise KafkaException(at.error)
        committed[at.topic, at.partition] = at.offset
    return committed


def _check_untouched(client: Admin, topic: Copied) -> None:
    """Check that nothing was ever written to the new topic.

    Raises:
        CopyError: something was.
    """
    new = [TopicPartition(topic.new_name, number) for number in range(topic.partitions.after)]
    written: int = sum(_offsets(client, new, _LATEST).values())
    if written:
        raise CopyError(
            f"{topic.new_name} has {written} records already, and Kafka does not know how far "
            f"{topic.old_name} was copied into it: nobody may write to the new topics before the "
            "first copy, and Kafka forgets how far a copy came after offsets.retention.minutes, a "
            "week by default. Start over with another KAFKA_PREFIX and NAMESPACE"
        )


def _old_partitions(topics: Sequence[Copied]) -> list[TopicPartition]:
    return [TopicPartition(*one) for topic in topics for one in topic.old_partitions()]


def _offsets(client: Admin, partitions: Sequence[TopicPartition], spec: OffsetSpec) -> Offsets:
    def ask() -> Offsets:
        answers = client.list_offsets(
            dict.fromkeys(partitions, spec),
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=_CALL_S,
        )
        return {(at.topic, at.partition): one.result().offset for at, one in answers.items()}

    return patiently(ask)
