"""Publishes the parts of an import: plainly, or in transactions that also store its progress.

With an `Idempotency-Key`, each part is one transaction of Kafka, with which the progress is
committed, as the metadata of an offset in a consumer group of the key's own. So whatever happens,
progress and log agree, and the next request with the key continues exactly there. It takes the
transactional id of the key over: Kafka aborts what an earlier request left unfinished, and fences
that off if it still runs.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from api.events.parsing import Message
from api.events.publisher import MAX_AT_ONCE, LogUnavailableError, Publisher, record_of
from api.http.limits import MAX_IMPORTS
from api.http.metrics import Metrics
from api.http.problems import CONFLICT, LOG_UNAVAILABLE, OUTCOME_UNKNOWN, Problem
from api.imports.lines import STEP
from api.imports.progress import Progress, decode_progress, encode_progress
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import QUOTES, dead_letters
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import describe_error
from runtime.kafka.rights import IMPORT_PREFIX
from runtime.kafka.tokens import TokenError
from runtime.tracing import OFF, Tracing

T = TypeVar("T")

_log = logging.getLogger(__name__)

CALL_S: Final = 10.0
_ABORT_S: Final = 2.0
_TRANSACTION_MS: Final = 10_000
"""After it, brokers abort the transaction of a process that was killed; consumers wait for that.
Apache Kafka looks for such transactions every 10 s."""
_PROGRESS: Final = dead_letters(QUOTES).name
"""An offset belongs to a partition of a topic, which the API has to be allowed to read."""
_PAUSE_S: Final = 0.1
_MOVING: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)
_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 (its public name)
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    }
)


class Output(Protocol):
    """Where the parts of one import go."""

    progress: Progress
    """what is published, also by earlier requests"""

    async def publish(self, messages: Sequence[Message], progress: Progress) -> None:
        """Publish a part; then `progress` is reached."""


class Plain:
    """Publishes parts without a key: nothing remembers how far they came."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.progress = Progress()

    async def publish(self, messages: Sequence[Message], progress: Progress) -> None:
        """Publish a part.

        Raises:
            Problem: Kafka did not acknowledge all of it.
        """
        for first in range(0, len(messages), MAX_AT_ONCE):
            try:
                await self._publisher.publish(messages[first : first + MAX_AT_ONCE])
            except LogUnavailableError as error:
                problem = error.problem()
                problem.members["acknowledged"] += self.progress.events + first
                raise problem from error
        self.progress = progress


class Transactions:
    """Publishes the parts of imports with keys."""

    def __init__(self, kafka: KafkaConfig, metrics: Metrics, tracing: Tracing = OFF) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._tracing = tracing
        # librdkafka's calls on transactions block.
        self._threads = ThreadPoolExecutor(MAX_IMPORTS, "imports")

    @contextlib.asynccontextmanager
    async def of_key(self, digest: str) -> AsyncIterator["Exactly"]:
        """Continue the import with a key, or begin it; fence off another one with the same key.

        Raises:
            Problem: Kafka does not answer, or does not know how far the import came.
        """
        name = self._kafka.topic(f"{IMPORT_PREFIX}{digest}")
        output = Exactly(name, self._kafka, self._metrics, self._tracing, self._in_thread)
        try:
            await output.begin()
            yield output
        finally:
            await self._in_thread(output.end)

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)


class Exactly:
    """Publishes each part in one transaction with its progress."""

    def __init__(
        self,
        name: str,
        kafka: KafkaConfig,
        metrics: Metrics,
        tracing: Tracing,
        in_thread: Callable[..., Any],
    ) -> None:
        self.progress = Progress()
        self._name = name
        self._kafka = kafka
        self._metrics = metrics
        self._tracing = tracing
        self._in_thread = in_thread
        self._at = TopicPartition(kafka.topic(_PROGRESS), 0)
        self._group: Any = None
        self._producer: Producer | None = None

    async def begin(self) -> None:
        """Take over the key, and find how far its import came.

        Raises:
            Problem: Kafka does not answer, or does not know.
        """
        try:
            self.progress = await self._in_thread(self._begun)
        except (KafkaException, TokenError) as error:
            raise _problem(error) from error

    async def publish(self, messages: Sequence[Message], progress: Progress) -> None:
        """Publish a part.

        Raises:
            Problem: Kafka did not commit it, or another request with the key took over.
        """
        records = [record_of(message) for message in messages]
        producer = self._producer
        assert producer is not None  # noqa: S101 (it has begun)
        try:
            producer.begin_transaction()
            with self._tracing.sends(record.topic for record in records) as carried:
                for n, (topic, key, value, headers) in enumerate(records, 1):
                    if n % STEP == 0:
                        await asyncio.sleep(0)  # other requests run in between
                    named = self._kafka.topic(topic)
                    producer.produce(named, value, key, headers=[*headers, *carried])
                await self._in_thread(self._commit, progress)
        except (BufferError, KafkaException) as error:
            await self._in_thread(self._abort)
            raise _problem(error) from error
        for name, n in Counter(record.topic for record in records).items():
            self._metrics.published.labels(name, "acknowledged").inc(n)
        self.progress = progress

    def end(self) -> None:
        """Close the connections."""
        self._producer = None  # which closes it

    def _begun(self) -> Progress:
        producer = self._producer = Producer(
            {
                **self._kafka.librdkafka(),
                "client.id": "api-imports",
                "transactional.id": self._name,
                "transaction.timeout.ms": _TRANSACTION_MS,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "compression.type": "lz4",
                "linger.ms": 5,
                "log_level": 2,
            }
        )
        _patiently(producer.init_transactions)
        consumer = Consumer(
            {
                **self._kafka.librdkafka(),
                "client.id": "api-imports",
                "group.id": self._name,
                "isolation.level": "read_committed",  # waits for transactions that are ending
                "enable.auto.commit": False,
                "log_level": 2,
            }
        )
        try:
            self._group = consumer.consumer_group_metadata()
            (found,) = _patiently(consumer.committed, [self._at])
        finally:
            consumer.close()
        if found.error is not None:
            raise KafkaException(found.error)
        if found.offset < 0:
            return Progress()
        if not found.metadata:
            detail = "The broker keeps no metadata of offsets, which say how far the import came"
            raise Problem(OUTCOME_UNKNOWN, detail)
        return decode_progress(found.metadata)

    def _commit(self, progress: Progress) -> None:
        assert self._producer is not None  # noqa: S101 (it has begun)
        at, said = self._at, encode_progress(progress).decode()
        position = TopicPartition(at.topic, at.partition, progress.place.lines, said)
        _patiently(self._producer.send_offsets_to_transaction, [position], self._group)
        _patiently(self._producer.commit_transaction)

    def _abort(self) -> None:
        """Abort, so that consumers need not wait; if this fails, the broker does it later."""
        assert self._producer is not None  # noqa: S101 (it has begun)
        with contextlib.suppress(KafkaException):
            self._producer.purge()
            self._producer.abort_transaction(_ABORT_S)


def _patiently(call: Callable[..., T], *arguments: Any) -> T:
    """Repeat a call while a coordinator is starting or moving, for `CALL_S`."""
    late_s = time.monotonic() + CALL_S
    while True:
        try:
            return call(*arguments, CALL_S)
        except KafkaException as error:
            of_kafka = error.args[0]
            is_passing = of_kafka.retriable() or of_kafka.code() in _MOVING
            if not is_passing or time.monotonic() + _PAUSE_S > late_s:
                raise
        time.sleep(_PAUSE_S)


def _problem(error: BufferError | KafkaException | TokenError) -> Problem:
    if isinstance(error, TokenError):  # which quotes the provider's answer
        _log.error("no token for Kafka: %s", error)
        return Problem(LOG_UNAVAILABLE, "No token for Kafka: the server's log says why")
    if isinstance(error, BufferError):
        return Problem(LOG_UNAVAILABLE, f"Kafka takes no more: {error}")
    of_kafka = error.args[0]
    if of_kafka.code() in _FENCED:
        detail = "A later request with the same Idempotency-Key continues this import"
        return Problem(CONFLICT, detail)
    return Problem(LOG_UNAVAILABLE, f"Kafka did not commit: {describe_error(of_kafka)}")
