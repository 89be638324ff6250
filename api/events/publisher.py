"""Publishes messages to Kafka from asyncio, without blocking the event loop.

librdkafka reports deliveries to a thread that polls it; the last report of a batch wakes the
coroutine that waits for it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message

from api.events.producer import LastingProducer
from api.http.metrics import Metrics
from api.http.problems import LOG_UNAVAILABLE, Failure, Problem
from contracts.feedback import Feedback, encode_feedback, feedback_key
from contracts.instruments import Delisting, Instrument, encode_instrument, instrument_key
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import FEEDBACK, INSTRUMENTS, INTERACTIONS, QUOTES
from runtime.kafka.refusals import describe_error
from runtime.tracing import OFF, Tracing

ANSWER_DEADLINE_S: Final = 5.0
"""In case librdkafka does not even report that it gave up on a message."""
_AT_ONCE: Final = 500
"""Messages that take a millisecond or so."""

Publishable = Quote | Interaction | Feedback | Tombstone | Instrument | Delisting
_Headers = Sequence[tuple[str, str | bytes | None]]


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

    def __init__(self, total: int, producer: LastingProducer, metrics: Metrics) -> None:
        self.total = total
        self._producer = producer
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
        topic = self._producer.kafka.name(message.topic() or "")
        failure = None if error is None else describe_error(error)
        self._producer.note(failure)
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
    """Publishes messages, and returns once they are in the log."""

    def __init__(self, producer: LastingProducer, metrics: Metrics, tracing: Tracing = OFF) -> None:
        self._producer = producer
        self._metrics = metrics
        self._tracing = tracing

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
        batch = _Batch(len(messages), self._producer, self._metrics)
        with self._tracing.sends(record.topic for record in records) as carried:
            for n, (topic, key, value, headers) in enumerate(records, 1):
                if n % _AT_ONCE == 0:
                    await asyncio.sleep(0)  # other requests run in between
                try:
                    self._producer.current.produce(
                        self._producer.kafka.topic(topic),
                        value,
                        key,
                        headers=[*headers, *carried],
                        on_delivery=batch.delivered,
                    )
                except (BufferError, KafkaException) as error:
                    batch.reject(topic, str(error))
            await batch.wait()


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
