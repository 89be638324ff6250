"""Publishes what records have become, and their offsets, in transactions; dead letters before.

A transaction's mark among the dead letters would count as one. So they are published as workers do:
at least once.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import QUOTES, Letter, dead_letters, emptied
from producers.adapt.messages import Outgoing
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import RightsError, missing_rights, transactions_of

_CALL_S: Final = 10.0
_TRANSACTION_MS: Final = 10_000
"""After it, brokers abort the transaction of a copy that was killed."""
_POLL_S: Final = 0.1
_PAUSE_S: Final = 1.0
"""Before a call is repeated."""

log = structlog.get_logger(__name__)


class Output:
    """A transactional producer."""

    def __init__(
        self, kafka: KafkaConfig, group: str, instance: str | None, within_s: float
    ) -> None:
        """Connect, and abort what this copy left open when it was killed.

        Raises:
            RightsError: the right to transactions is missing.
            KafkaException: the broker refuses, or does not answer.
        """
        self._kafka = kafka
        self._within_s = within_s
        name = kafka.topic(f"{group}-{instance or uuid.uuid4().hex}")
        shared = {
            **kafka.librdkafka(),
            "client.id": "tickrec-producers",
            "compression.type": "lz4",
            "linger.ms": 5,
            "partitioner": LIBRDKAFKA_PARTITIONER,
            "log_level": 2,
        }
        transactional = {"transactional.id": name, "transaction.timeout.ms": _TRANSACTION_MS}
        self._producer = Producer(shared | transactional)
        most = {"message.max.bytes": dead_letters(QUOTES).max_message_bytes}
        once = {"enable.idempotence": True, "delivery.timeout.ms": int(_CALL_S * 1_000)}
        self._dead_letters = Producer(shared | most | once)
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
        """Publish the letters, each to its topic, and then all of the rest, or nothing.

        Raises:
            KafkaException: at most letters were published.
        """
        self._post(letters)
        self._producer.begin_transaction()
        try:
            for record in records:
                self._produce(self._producer, record.topic, record.value, record.key)
            self._patiently(self._producer.send_offsets_to_transaction, positions, group)
            self._patiently(self._producer.commit_transaction)
        except KafkaException as error:
            if not error.args[0].fatal():
                self._patiently(self._producer.abort_transaction)
            raise

    def _post(self, letters: Iterable[tuple[str, Letter]]) -> None:
        """Publish dead letters, emptied if their topic refuses the size.

        Raises:
            KafkaException: the broker does not answer, or refuses.
        """
        refused: list[tuple[KafkaError, str, Letter]] = []

        def note(error: KafkaError | None, topic: str, its: Letter) -> None:
            if error is not None:
                refused.append((error, topic, its))

        for topic, its in letters:
            self._produce(
                self._dead_letters,
                topic,
                its.value,
                its.key,
                headers=list(its.headers),
                on_delivery=lambda error, _, of=(topic, its): note(error, *of),
            )
        self._dead_letters.flush()
        for error, _, its in refused:
            if error.code() != KafkaError.MSG_SIZE_TOO_LARGE or its.key is its.value is None:
                raise KafkaException(error)
        if refused:
            self._post((topic, emptied(its)) for _, topic, its in refused)

    def _produce(
        self, producer: Producer, topic: str, value: bytes | None, key: bytes | None, **more: Any
    ) -> None:
        while True:
            try:
                producer.produce(self._kafka.topic(topic), value, key, **more)
            except BufferError:
                producer.poll(_POLL_S)
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
                time.sleep(_PAUSE_S)
