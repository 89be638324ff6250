"""Queries any Kafka-protocol broker, and creates and deletes topics."""

import time
from collections.abc import Collection, Hashable, Mapping
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.cimpl import NewTopic

from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import Refusals, describe_error


class Admin(AdminClient):
    """Connects and reconnects automatically."""

    def __init__(self, kafka: KafkaConfig, **options: Any) -> None:
        """Take the Kafka settings, and librdkafka's options with `_` for their dots."""
        self.kafka = kafka
        self._refusals = Refusals()
        config: dict[str, Any] = {
            **kafka.librdkafka(),
            # A caller that is too early or too late learns it from the call, not from the log.
            "log_level": 0,
            "error_cb": self._refusals,
            "reconnect.backoff.max.ms": 500,
            **{name.replace("_", "."): value for name, value in options.items()},
        }
        super().__init__(config)

    def why_refused(self) -> str | None:
        """Return why the broker last rejected the login; None if it accepted it."""
        self.poll(0)
        return self._refusals.why


_CALL_S: Final = 15
_ASKED_AGAIN_S: Final = 2
"""A call waits for the whole timeout, even if the broker has refused before."""
_POLL_S: Final = 0.02
_ENDS_WITHIN_S: Final = 60
_TANSU_CLUSTER: Final = "tansu_cluster"


class BrokerError(RuntimeError):
    """The broker does not answer, or refuses a request."""


class RefusedError(BrokerError):
    """The broker rejects our login: retrying is useless."""


def answers(client: Admin) -> bool:
    """Whether a broker answers within a second."""
    try:
        return bool(client.list_topics(timeout=1).brokers)
    except KafkaException:
        return False


def is_tansu(client: Admin) -> bool:
    """Whether the broker is Tansu, by its cluster's name.

    Raises:
        BrokerError: it does not answer.
    """
    return bool(_metadata(client).cluster_id == _TANSU_CLUSTER)


def partitions_of(client: Admin) -> dict[str, int]:
    """Return the number of partitions of each topic that the broker has.

    Raises:
        BrokerError: it does not answer.
    """
    return {name: len(topic.partitions) for name, topic in _metadata(client).topics.items()}


def log_ends(kafka: KafkaConfig, topic: str, partitions: int) -> dict[int, int]:
    """Return the end of each partition's log, from fetches: Tansu's ListOffsets is wrong.

    Raises:
        BrokerError: it does not answer in time.
    """
    consumer = Consumer(
        {
            **kafka.librdkafka(),
            "group.id": kafka.topic("log-ends"),
            "enable.auto.commit": False,
            "log_level": 0,
            # An empty partition reports its end at once.
            "fetch.wait.max.ms": 50,
        }
    )
    deadline = time.monotonic() + _ENDS_WITHIN_S
    try:
        name = kafka.topic(topic)
        tps = [TopicPartition(name, number, OFFSET_BEGINNING) for number in range(partitions)]
        consumer.assign(tps)
        ends = [-1]
        while min(ends) < 0:
            if time.monotonic() > deadline:
                raise BrokerError(f"no end of each log of {name} within {_ENDS_WITHIN_S} s")
            consumer.consume(timeout=_POLL_S)
            ends = [consumer.get_watermark_offsets(tp, cached=True)[1] for tp in tps]
        return dict(enumerate(ends))
    finally:
        consumer.close()


def create(client: Admin, topics: Collection[NewTopic]) -> None:
    """Create the topics and return once each of their partitions can be written to.

    A topic created concurrently by others is fine, if it has the same partitions.

    Raises:
        BrokerError: the broker refuses, does not answer, or is not done in time.
    """
    if not topics:
        return
    _check_answers("create", client.create_topics(list(topics)), KafkaError.TOPIC_ALREADY_EXISTS)
    _await(client, {topic.topic: topic.num_partitions for topic in topics})


def delete(client: Admin, names: Collection[str]) -> None:
    """Delete the topics and their records, and return once they are gone.

    Raises:
        BrokerError: as `create`.
    """
    if not names:
        return
    _check_answers("delete", client.delete_topics(list(names)), KafkaError.UNKNOWN_TOPIC_OR_PART)
    _await(client, dict.fromkeys(names, 0))


def _check_answers(action: str, answers: Mapping[str, Future[Any]], harmless: int) -> None:
    """Wait for the answer about each topic; one code of an error is not one."""
    for name, answer in answers.items():
        try:
            answer.result(_CALL_S)
        except KafkaException as refused:
            if refused.args[0].code() != harmless:
                why = describe_error(refused.args[0])
                raise BrokerError(f"cannot {action} topic {name}: {why}") from None
        except TimeoutError:
            raise BrokerError(f"cannot {action} topic {name}: no answer in time") from None


def _await(client: Admin, expected: Mapping[str, int]) -> None:
    """Wait until each topic has the expected partitions, with leaders; none, if it was deleted."""
    deadline = time.monotonic() + _CALL_S
    while (seen := _led(client, expected)) != expected:
        if time.monotonic() > deadline:
            raise BrokerError(
                f"the broker has partitions {seen} of topics that should have {dict(expected)}, "
                f"{_CALL_S} s after it agreed"
            )
        time.sleep(_POLL_S)


def _led(client: Admin, names: Collection[str]) -> dict[str, int]:
    """Return how many partitions of each topic have a leader, 0 of a topic that is not there."""
    topics = _metadata(client).topics
    return {
        name: sum(partition.leader >= 0 for partition in topics[name].partitions.values())
        if name in topics
        else 0
        for name in names
    }


def _metadata(client: Admin) -> ClusterMetadata:
    deadline = time.monotonic() + _CALL_S
    while True:
        try:
            return client.list_topics(timeout=_ASKED_AGAIN_S)
        except KafkaException as silent:
            if (why := client.why_refused()) is not None:
                raise RefusedError(f"the broker rejects the connection: {why}") from None
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"no broker answers at {client.kafka.bootstrap_servers}: "
                    f"{silent.args[0].str()}: check KAFKA_BOOTSTRAP_SERVERS, "
                    f"KAFKA_SECURITY_PROTOCOL={client.kafka.security_protocol} and the certificates"
                ) from None


Partition = TypeVar("Partition", bound=Hashable)


class OpenTransactions(Generic[Partition]):
    """Remembers since when each log can be read up to the same offset and no further.

    While producers commit one transaction after the other, some is open at almost any time. That
    offset moves then; behind a transaction that nobody ends it does not.
    """

    def __init__(self) -> None:
        self._since: dict[Partition, tuple[int, float]] = {}

    def seconds(self, held: Mapping[Partition, int], now_s: float) -> dict[Partition, float]:
        """Return for how long each log has been held back at the offset where it is now.

        Args:
            held: the logs that are held back now, and the first offset that cannot be read.
            now_s: of a clock that never goes back.

        >>> its = OpenTransactions()
        >>> its.seconds({"a": 7}, 0.0), its.seconds({"a": 7}, 5.0), its.seconds({"a": 8}, 6.0)
        ({'a': 0.0}, {'a': 5.0}, {'a': 0.0})
        """
        self._since = {
            partition: before
            if (before := self._since.get(partition)) and before[0] == offset
            else (offset, now_s)
            for partition, offset in held.items()
        }
        return {partition: now_s - since for partition, (_, since) in self._since.items()}
