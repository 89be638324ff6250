"""Publishes to Kafka from asyncio, without blocking the event loop.

librdkafka reports deliveries to a thread that polls it; the last report of a batch wakes the
coroutine that waits for it. The producer is idempotent, so its own retries cause no duplicates.
A producer that reports a fatal error, or whose messages all fail for `_FAILING_S`, is replaced:
after an outage, a broker may refuse the sequence numbers of one for good.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from api.http.bodies import MAX_EVENTS
from api.http.limits import MAX_WRITES
from api.http.metrics import Metrics
from api.http.problems import LOG_UNAVAILABLE, Failure, Problem
from contracts.feedback import Feedback, encode_feedback, feedback_key
from contracts.instruments import Delisting, Instrument, encode_instrument, instrument_key
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import FEEDBACK, INSTRUMENTS, INTERACTIONS, QUOTES
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import Refusals, describe_error
from runtime.kafka.rights import RightsError, check_rights, rights
from runtime.kafka.tokens import TokenError
from runtime.topology import Topology, TopologyError
from runtime.tracing import OFF, Tracing

DELIVERY_TIMEOUT_MS: Final = 3000
"""After this, librdkafka gives up on a message."""
ANSWER_DEADLINE_S: Final = 5.0
"""In case librdkafka does not even report that."""
_AT_ONCE: Final = 500
"""Messages that take a millisecond or so."""
_MAX_QUEUED: Final = MAX_WRITES * MAX_EVENTS
_METADATA_TIMEOUT_S: Final = 0.5
_RIGHTS_TIMEOUT_S: Final = 0.5
_POLL_S: Final = 0.05
_FAILING_S: Final = DELIVERY_TIMEOUT_MS / 1000
"""As long as a delivery may take."""
_REPLACED_EVERY_S: Final = 1.0
"""The least time between replacements, should fatal errors repeat."""
_FATAL: Final = (KafkaException, SystemError)
"""What polling raises on a fatal error; the latter if confluent-kafka calls back during that."""
_REMEMBERED_S: Final = 60.0
"""How long a failure counts as the current state if no message follows it."""

Publishable = Quote | Interaction | Feedback | Tombstone | Instrument | Delisting
_Headers = Sequence[tuple[str, str | bytes | None]]

_log = logging.getLogger(__name__)


class _Record(NamedTuple):
    """A message as Kafka takes it."""

    topic: str
    key: bytes
    value: bytes | None
    headers: _Headers = ()


class LogUnavailableError(ConnectionError, Failure):
    """Kafka did not acknowledge all messages; `acknowledged` of them are in the log."""

    def __init__(self, acknowledged: int, sent: int, total: int, reason: str) -> None:
        super().__init__(f"Kafka acknowledged {acknowledged} of {total} messages: {reason}")
        self.acknowledged = acknowledged
        self.may_have_taken_effect = sent > 0

    def problem(self) -> Problem:
        """Return the problem that the client gets."""
        detail = f"{self}. Those may be counted again if all are sent again"
        return Problem(LOG_UNAVAILABLE, detail, acknowledged=self.acknowledged)


class _Batch:
    """The deliveries of the messages of one request."""

    def __init__(
        self, total: int, kafka: KafkaConfig, metrics: Metrics, note: Callable[[str | None], None]
    ) -> None:
        self.total = total
        self._note = note
        self._kafka = kafka
        self.acknowledged = 0
        self._sent = total
        self.reason = f"no report in {ANSWER_DEADLINE_S:g} s"
        self._open = total
        self._metrics = metrics
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Take librdkafka's report; called by the polling thread."""
        topic = self._kafka.name(message.topic() or "")
        failure = None if error is None else describe_error(error)
        self._note(failure)
        self.count(topic, failure)

    def reject(self, topic: str, reason: str) -> None:
        """Count a message that librdkafka did not accept."""
        self._sent -= 1
        self.count(topic, reason)

    def count(self, topic: str, failure: str | None) -> None:
        """Count a message as acknowledged, or as failed; from any thread."""
        self._metrics.published.labels(topic, "failed" if failure else "acknowledged").inc()
        with self._lock:
            self._open -= 1
            if failure is None:
                self.acknowledged += 1
            else:
                self.reason = failure
            if self._open == 0:
                self._loop.call_soon_threadsafe(self._finish)

    async def wait(self) -> None:
        """Return once all are acknowledged.

        Raises:
            LogUnavailableError: some are not.
        """
        with contextlib.suppress(TimeoutError):  # the count below shows it
            await asyncio.wait_for(self._done, ANSWER_DEADLINE_S)
        if self.acknowledged < self.total:
            raise LogUnavailableError(self.acknowledged, self._sent, self.total, self.reason)

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


class Publisher:
    """The endpoints' interface to Kafka."""

    _producer: Producer
    """while it runs"""

    def __init__(self, kafka: KafkaConfig, metrics: Metrics, tracing: Tracing = OFF) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._kafka = kafka
        self._refusals = Refusals()
        self._rights = _Rights(kafka)
        self._stopping = threading.Event()
        self._failure: str | None = None
        """why the last delivery failed; None: it did not"""
        self._failed_s = 0.0
        """when that was"""
        self._failing_from_s = math.inf
        """when the first message failed after which this producer delivered none"""
        self._replaced_s = -math.inf

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Process delivery reports; on exit, wait for messages in flight, in bounded time.

        librdkafka is closed then, whose threads would otherwise keep trying to reach the broker.
        """
        self._producer = self._new_producer()
        poller = threading.Thread(target=self._poll, name="kafka-poll", daemon=True)
        poller.start()
        try:
            yield
        finally:
            await asyncio.to_thread(_end, self._producer)
            self._stopping.set()
            await asyncio.to_thread(poller.join)
            await asyncio.to_thread(self._leave)

    async def publish(self, messages: Sequence[Publishable]) -> None:
        """Return once Kafka has acknowledged all `messages`.

        If tracing is on, the header `traceparent` of the records names the span that sent them.
        Otherwise there is no such header, even if the request had one: that trace would have no
        span from here.

        Raises:
            LogUnavailableError: it has not, in bounded time.
            InstrumentTooLargeError: an instrument is; nothing is published.
        """
        records = [_record_of(message) for message in messages]
        batch = _Batch(len(messages), self._kafka, self._metrics, self._note)
        with self._tracing.sends(record.topic for record in records) as carried:
            for n, (topic, key, value, headers) in enumerate(records, 1):
                if n % _AT_ONCE == 0:
                    await asyncio.sleep(0)  # other requests run in between
                try:
                    self._producer.produce(
                        self._kafka.topic(topic),
                        value,
                        key,
                        headers=[*headers, *carried],
                        on_delivery=batch.delivered,
                    )
                except (BufferError, KafkaException) as error:
                    batch.reject(topic, str(error))
            await batch.wait()

    async def check(self, topology: Topology) -> str:
        """Return `ok`, or why messages cannot be published as `topology` says."""
        if self._failure is not None and time.monotonic() < self._failed_s + _REMEMBERED_S:
            return f"{self._kafka.bootstrap_servers}: {self._failure}"
        try:
            seen = await asyncio.to_thread(self._producer.list_topics, timeout=_METADATA_TIMEOUT_S)
        except KafkaException as error:
            why = self._refusals.why or error.args[0].str()
            return f"{self._kafka.bootstrap_servers}: {why}"
        self._refusals.forget()
        if (missing := await self._rights.why_not()) is not None:
            return missing
        there = {self._kafka.name(name): len(seen.topics[name].partitions) for name in seen.topics}
        for topic in (QUOTES.name, INTERACTIONS.name, FEEDBACK.name):
            if topic not in there:
                name = self._kafka.topic(topic)
                return f"topic {name} is missing: run `python -m operations.topics`"
        for topic in (QUOTES.name, INTERACTIONS.name):
            try:
                topology.check(topic, there[topic])
            except TopologyError as error:
                return str(error)
        return "ok"

    def _new_producer(self) -> Producer:
        return Producer(
            {
                **self._kafka.librdkafka(),
                "client.id": "api",
                "error_cb": self._refusals,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "linger.ms": 2,
                "queue.buffering.max.messages": _MAX_QUEUED,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                # A broker that comes back is noticed within a second.
                "reconnect.backoff.max.ms": 1000,
            },
            logger=_log,
        )

    def _note(self, failure: str | None) -> None:
        """Note why a delivery failed, None: it did not; called by a polling thread."""
        self._failure = failure
        if failure is None:
            self._failing_from_s = math.inf
        else:
            self._failed_s = time.monotonic()
            self._failing_from_s = min(self._failing_from_s, self._failed_s)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            try:
                self._producer.poll(_POLL_S)
            except _FATAL as error:
                self._note(str(error.__cause__ or error))
                self._failing_from_s = -math.inf
            due_s = max(self._failing_from_s + _FAILING_S, self._replaced_s + _REPLACED_EVERY_S)
            if time.monotonic() >= due_s:
                self._replace_producer()

    def _leave(self) -> None:
        del self._producer  # this closes librdkafka and waits for its threads

    def _replace_producer(self) -> None:
        """Switch to a new producer; the old one delivers what it still can, and then ends."""
        _log.error("Kafka needs a new producer: %s", self._failure)
        self._replaced_s = time.monotonic()
        try:
            old, self._producer = self._producer, self._new_producer()
        except TokenError as error:  # this is tried again
            self._note(str(error))
            return
        self._failing_from_s = math.inf
        threading.Thread(target=_end, args=(old,), name="kafka-end", daemon=True).start()


def _end(producer: Producer) -> None:
    """Wait in bounded time for a producer's last delivery reports."""
    with contextlib.suppress(*_FATAL):
        producer.flush(ANSWER_DEADLINE_S)


class _Rights:
    """Checks whether Kafka grants the server's user the rights it needs, until it does."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._asking: asyncio.Task[str | None] | None = None

    async def why_not(self) -> str | None:
        """Return the missing rights; None if none are, or if Kafka does not answer in time."""
        asking = self._asking
        if asking is None or (asking.done() and asking.result() is not None):
            asking = self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        done, _ = await asyncio.wait([asking], timeout=_RIGHTS_TIMEOUT_S)
        return asking.result() if done else None

    def _ask(self) -> str | None:
        try:
            check_rights(Admin(self._kafka), self._kafka, rights("")["api"])
        except RightsError as missing:
            return str(missing)
        except KafkaException as away:
            return str(away)
        return None


def _record_of(message: Publishable) -> _Record:
    """Return a message as Kafka takes it."""
    if isinstance(message, Tombstone):
        key, headers = encode_tombstone(message)
        return _Record(INTERACTIONS.name, key, None, headers)
    if isinstance(message, Feedback):
        return _Record(FEEDBACK.name, feedback_key(message), encode_feedback(message))
    if isinstance(message, Instrument | Delisting):
        value = encode_instrument(message) if isinstance(message, Instrument) else None
        return _Record(INSTRUMENTS.name, instrument_key(message.instrument_id), value)
    topic = QUOTES if isinstance(message, Quote) else INTERACTIONS
    return _Record(topic.name, key_of(message), encode(message))
