"""Publishes what records have become, and their offsets, in transactions."""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from contracts.dead_letters import Letter
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import QUOTES, dead_letters
from producers.adapt.messages import Outgoing
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import RightsError, missing_rights, transactions_of

_CALL_S: Final = 10.0
_TRANSACTION_MS: Final = 10_000
"""After it, brokers abort the transaction of a copy that was killed."""
_POLL_S: Final = 0.1
_OF_HEADERS_BYTES: Final = 64 * 1024

log = structlog.get_logger(__name__)


class Output:
    """A transactional producer."""

    def __init__(
        self, kafka: KafkaConfig, group: str, instance: str | None, within_s: float
    ) -> None:
        """Connect, and abort what this copy left open when it was killed.

        Args:
            kafka: the broker.
            group: the consumer group.
            instance: name of this copy.
            within_s: how long the broker may be away.

        Raises:
            RightsError: the right to transactions is missing.
            KafkaException: the broker refuses, or does not answer.
        """
        self._kafka = kafka
        self._within_s = within_s
        name = kafka.topic(f"{group}-{instance or uuid.uuid4().hex}")
        self._producer = Producer(
            {
                **kafka.librdkafka(),
                "client.id": "tickrec-producers",
                "transactional.id": name,
                "transaction.timeout.ms": _TRANSACTION_MS,
                "compression.type": "lz4",
                "linger.ms": 5,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "message.max.bytes": dead_letters(QUOTES).max_message_bytes + _OF_HEADERS_BYTES,
                "log_level": 2,
            }
        )
        try:
            self._patiently(self._producer.init_transactions)
        except KafkaException as error:
            its = error.args[0]
            if its.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
                needed = [of for of in transactions_of(group) if of.kind == "transactional_id"]
                raise RightsError(missing_rights(kafka, needed)) from None
            raise

    def commit(
        self,
        records: Iterable[Outgoing],
        letters: Iterable[tuple[str, Letter]],
        positions: Sequence[TopicPartition],
        group: Any,
    ) -> None:
        """Publish all of it, or nothing: then the transaction is aborted.

        Args:
            records: to publish.
            letters: to publish, each with the name of its topic.
            positions: to commit.
            group: the membership that they belong to.

        Raises:
            KafkaException: nothing was published.
        """
        self._producer.begin_transaction()
        try:
            for record in records:
                self._produce(record.topic, record.value, record.key)
            for topic, letter in letters:
                self._produce(
                    topic, letter.value, letter.key, partition=0, headers=list(letter.headers)
                )
            self._patiently(self._producer.send_offsets_to_transaction, positions, group)
            self._patiently(self._producer.commit_transaction)
        except KafkaException as error:
            if not error.args[0].fatal():
                self._patiently(self._producer.abort_transaction)
            raise

    def _produce(self, topic: str, value: bytes | None, key: bytes | None, **more: Any) -> None:
        while True:
            try:
                self._producer.produce(self._kafka.topic(topic), value, key, **more)
            except BufferError:
                self._producer.poll(_POLL_S)
            else:
                return

    def _patiently(self, call: Callable[..., None], *arguments: Any) -> None:
        """Repeat a call that can be repeated.

        Raises:
            KafkaException: it cannot, or not any longer.
        """
        deadline = time.monotonic() + self._within_s
        while True:
            try:
                return call(*arguments, _CALL_S)
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
                log.warning("waiting for the broker", detail=error.args[0].str())
