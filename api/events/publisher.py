"""Publishing to Kafka from asyncio: nothing here blocks the event loop.

librdkafka reports deliveries to a thread that polls it; the last report of a batch wakes the
coroutine that waits for it. The producer is idempotent, so its own retries count nothing twice.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from api.http.metrics import Metrics
from api.http.problems import LOG_UNAVAILABLE, Failure, Problem
from contracts.feedback import Feedback, encode_feedback, feedback_key
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import FEEDBACK, INTERACTIONS, QUOTES
from runtime.topology import Topology, TopologyError

DELIVERY_TIMEOUT_MS: Final = 3000
"""After it, librdkafka gives a message up."""
ANSWER_DEADLINE_S: Final = 5.0
"""Should librdkafka not even report that."""
_METADATA_TIMEOUT_S: Final = 0.5
_POLL_S: Final = 0.05

_log = logging.getLogger(__name__)


class _Record(NamedTuple):
    """A message as Kafka takes it."""

    topic: str
    key: bytes
    value: bytes


class LogUnavailableError(ConnectionError, Failure):
    """Kafka did not acknowledge all messages; `acknowledged` of them stand in the log."""

    def __init__(self, acknowledged: int, total: int, reason: str) -> None:
        super().__init__(f"Kafka acknowledged {acknowledged} of {total} messages: {reason}")
        self.acknowledged = acknowledged

    def problem(self) -> Problem:
        """Return the problem that it is for a client."""
        detail = f"{self}. Those may be counted again if all are sent again"
        return Problem(LOG_UNAVAILABLE, detail, acknowledged=self.acknowledged)


class _Batch:
    """The deliveries of the messages of one request."""

    def __init__(self, total: int, metrics: Metrics) -> None:
        self.total = total
        self.acknowledged = 0
        self.reason = f"no report in {ANSWER_DEADLINE_S:g} s"
        self._open = total
        self._metrics = metrics
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Take librdkafka's report; called by the polling thread."""
        self.count(message.topic() or "", None if error is None else error.str())

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
        with contextlib.suppress(TimeoutError):  # the count below tells
            await asyncio.wait_for(self._done, ANSWER_DEADLINE_S)
        if self.acknowledged < self.total:
            raise LogUnavailableError(self.acknowledged, self.total, self.reason)

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


class Publisher:
    """Kafka as the endpoints see it."""

    _producer: Producer
    """while it runs"""

    def __init__(self, bootstrap_servers: str, metrics: Metrics) -> None:
        self._metrics = metrics
        self._servers = bootstrap_servers
        self._stopping = threading.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take reports of deliveries; in the end wait for what is under way, in bounded time."""
        self._producer = Producer(
            {
                "bootstrap.servers": self._servers,
                "client.id": "api",
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "linger.ms": 2,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                # A broker that comes back is seen within a second.
                "reconnect.backoff.max.ms": 1000,
                "error_cb": self._note_error,
            },
            logger=_log,
        )
        poller = threading.Thread(target=self._poll, name="kafka-poll", daemon=True)
        poller.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self._producer.flush, ANSWER_DEADLINE_S)
            self._stopping.set()
            await asyncio.to_thread(poller.join)

    async def publish(self, messages: Sequence[Quote | Interaction | Feedback]) -> None:
        """Return once Kafka has acknowledged all `messages`.

        Raises:
            LogUnavailableError: it has not, in bounded time.
        """
        batch = _Batch(len(messages), self._metrics)
        for topic, key, value in map(_record_of, messages):
            try:
                self._producer.produce(topic, value, key, on_delivery=batch.delivered)
            except (BufferError, KafkaException) as error:
                batch.count(topic, str(error))
        await batch.wait()

    async def check(self, topology: Topology) -> str:
        """Return `ok`, or why messages cannot be published as `topology` says."""
        try:
            seen = await asyncio.to_thread(self._producer.list_topics, timeout=_METADATA_TIMEOUT_S)
        except KafkaException as error:
            return f"{self._servers}: {error.args[0].str()}"
        for topic in (QUOTES.name, INTERACTIONS.name, FEEDBACK.name):
            if topic not in seen.topics:
                return f"topic {topic} is missing: run `python -m infra.topics`"
        for topic in (QUOTES.name, INTERACTIONS.name):
            try:
                topology.check(topic, len(seen.topics[topic].partitions))
            except TopologyError as error:
                return str(error)
        return "ok"

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(_POLL_S)

    def _note_error(self, error: KafkaError) -> None:
        # librdkafka logs what it gets over by itself; what is fatal needs a person.
        if error.fatal():
            _log.error("Kafka, until the next start: %s", error.str())


def _record_of(message: Quote | Interaction | Feedback) -> _Record:
    if isinstance(message, Feedback):
        return _Record(FEEDBACK.name, feedback_key(message), encode_feedback(message))
    topic = QUOTES if isinstance(message, Quote) else INTERACTIONS
    return _Record(topic.name, key_of(message), encode(message))
