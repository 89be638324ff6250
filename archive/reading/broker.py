"""What the broker says of the archived topics: their ids, and where partitions begin and end."""

from collections.abc import Collection
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin._listoffsets import OffsetSpec

from archive.reading.resume import Bounds
from runtime.kafka.config import KafkaConfig
from runtime.kafka.lasting import Ask, LastingAdmin
from runtime.kafka.refusals import describe_error

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_TIMEOUT_S: Final = 5.0
_ANSWER_WITHIN_S: Final = 7.0
"""A client that has not even reported a timeout by then is stuck."""


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
