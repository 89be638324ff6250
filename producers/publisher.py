"""The edge to Kafka: an idempotent producer that counts deliveries and failures."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from producers.batch import Record
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import Refusals, describe_error
from runtime.kafka.rights import RightsError, check_rights, rights

LINGER_MS: Final = 10
QUEUE_RECORDS: Final = 200_000
"""About half a second at full speed: enough to keep every broker connection busy."""
QUEUE_KIB: Final = 256 * 1024
METADATA_TIMEOUT_S: Final = 2.0
FLUSH_ROUND_S: Final = 0.2

log = structlog.get_logger(__name__)


class PublishingError(RuntimeError):
    """Publishing cannot start, or cannot continue."""


class Publisher:
    """Publishes records, partitioned by key with the default partitioner of Kafka clients."""

    def __init__(self, kafka: KafkaConfig, delivery_timeout_s: float) -> None:
        self.accepted = 0
        """records accepted into the queue"""
        self.delivered = 0
        """records that the broker has acknowledged"""
        self.failures: Counter[str] = Counter()
        """undeliverable records, by the broker's or the client's reason"""
        self.troubles: Counter[str] = Counter()
        """errors that the client retries by itself, by kind"""
        self._kafka = kafka
        self._refusals = Refusals()
        self._timeout_s = delivery_timeout_s
        self._producer = Producer(
            {
                **kafka.librdkafka(),
                "client.id": "tickrec-producers",
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": LINGER_MS,
                "delivery.timeout.ms": int(delivery_timeout_s * 1000),
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "queue.buffering.max.messages": QUEUE_RECORDS,
                "queue.buffering.max.kbytes": QUEUE_KIB,
                "on_delivery": self._on_delivery,
                "error_cb": self._on_error,
                # error_cb reports the same errors.
                "log_level": 2,
            },
            logger=logging.getLogger("librdkafka"),
        )

    @property
    def failed(self) -> int:
        """The number of undeliverable records."""
        return self.failures.total()

    def await_topics(self, topics: Collection[str], stopping: Callable[[], bool]) -> None:
        """Wait until the broker answers, and check that it has the topics.

        Raises:
            PublishingError: it does not answer within the delivery timeout, or a topic is missing.
        """
        deadline = time.monotonic() + self._timeout_s
        while not stopping():
            self.poll(0)
            try:
                known = self._producer.list_topics(timeout=METADATA_TIMEOUT_S).topics
            except KafkaException as error:
                self._on_error(error.args[0])
                self.poll(0)
                if (why := self._refusals.why) is not None:
                    raise PublishingError(f"the broker rejects the connection: {why}") from error
                if time.monotonic() > deadline:
                    raise PublishingError(
                        f"no broker answered at {self._kafka.bootstrap_servers} for "
                        f"{self._timeout_s:g} s: start it, or set "
                        "KAFKA_BOOTSTRAP_SERVERS to where it listens"
                    ) from error
            else:
                self._check_rights(topics)
                self._require(topics, known)
                return

    def publish(self, records: Sequence[Record]) -> int:
        """Accept as many of the first records as the queue has room for, and return how many.

        Raises:
            PublishingError: the client refuses a record, or has failed permanently.
        """
        produce, prefix = self._producer.produce, self._kafka.prefix
        taken = 0
        try:
            for record in records:
                if len(record) == 3:
                    topic, key, value = record
                    produce(prefix + topic, value, key)
                else:
                    topic, key, _, headers = record
                    produce(prefix + topic, None, key, headers=headers)
                taken += 1
        except BufferError:
            pass  # the queue is full: the caller polls and comes back with the rest
        except KafkaException as error:
            raise PublishingError(f"the Kafka client accepts no more records: {error}") from error
        finally:
            self.accepted += taken
        return taken

    def poll(self, timeout_s: float) -> None:
        """Process delivery reports, waiting at most that long for the first one."""
        self._producer.poll(timeout_s)

    def flush(self, timeout_s: float, after_round: Callable[[], None]) -> None:
        """Wait for queued records; those left after `timeout_s` fail."""
        deadline = time.monotonic() + timeout_s
        while self._producer.flush(FLUSH_ROUND_S):
            if time.monotonic() > deadline:
                self._producer.purge()  # reports each queued record as failed
                self._producer.flush(FLUSH_ROUND_S)
                break
            after_round()

    def _check_rights(self, topics: Collection[str]) -> None:
        needed = [right for right in rights("")["producers"] if right.name in topics]
        try:
            check_rights(Admin(self._kafka), self._kafka, needed)
        except RightsError as missing_right:
            raise PublishingError(str(missing_right)) from missing_right

    def _require(self, topics: Collection[str], known: Collection[str]) -> None:
        missing = sorted(set(map(self._kafka.topic, topics)) - set(known))
        if missing:
            raise PublishingError(
                f"the broker at {self._kafka.bootstrap_servers} has no topic {', '.join(missing)}: "
                "run `python -m operations.topics` first"
            )

    def _on_delivery(self, error: KafkaError | None, record: Message) -> None:
        if error is None:
            self.delivered += 1
            return
        reason: str = error.name()
        self.failures[reason] += 1
        if self.failures[reason] == 1:
            log.error(
                "record not delivered",
                reason=reason,
                detail=describe_error(error),
                topic=record.topic(),
                waited_s=self._timeout_s,
            )

    def _on_error(self, error: KafkaError) -> None:
        self._refusals(error)
        kind: str = error.name()
        self.troubles[kind] += 1
        if self.troubles[kind] == 1:
            log.warning(
                "waiting for the broker",
                reason=kind,
                detail=error.str(),
                broker=self._kafka.bootstrap_servers,
                at_most_s=self._timeout_s,
            )
