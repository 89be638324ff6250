"""Kafka's producer of the process, replaced when it delivers no more.

The producer is idempotent, so its own retries cause no duplicates. One that reports a fatal error,
or whose messages all fail for `_FAILING_S`, is replaced: after an outage, a broker may refuse the
sequence numbers of one for good.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import AsyncIterator
from typing import Final

from confluent_kafka import KafkaException, Producer

from api.http.bodies import MAX_EVENTS
from api.http.limits import MAX_WRITES
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import Refusals
from runtime.kafka.tokens import TokenError

DELIVERY_TIMEOUT_MS: Final = 3000
"""After this, librdkafka gives up on a message."""
_END_WITHIN_S: Final = 5.0
"""For the last delivery reports, in case librdkafka gives up on no message."""
_MAX_QUEUED: Final = MAX_WRITES * MAX_EVENTS
_POLL_S: Final = 0.05
_FAILING_S: Final = DELIVERY_TIMEOUT_MS / 1000
"""As long as a delivery may take."""
_REPLACED_EVERY_S: Final = 1.0
"""The least time between replacements, should fatal errors repeat."""
_FATAL: Final = (KafkaException, SystemError)
"""What polling raises on a fatal error; the latter if confluent-kafka calls back during that."""
_REMEMBERED_S: Final = 60.0
"""How long a failure counts as the current state if no message follows it."""

_log = logging.getLogger(__name__)


class LastingProducer:
    """A producer that a new one replaces when it delivers no more."""

    current: Producer
    """while it runs"""

    def __init__(self, kafka: KafkaConfig) -> None:
        self.kafka = kafka
        self.refusals = Refusals()
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
        self.current = self._new_producer()
        poller = threading.Thread(target=self._poll, name="kafka-poll", daemon=True)
        poller.start()
        try:
            yield
        finally:
            await asyncio.to_thread(_end, self.current)
            self._stopping.set()
            await asyncio.to_thread(poller.join)
            await asyncio.to_thread(self._leave)

    def note(self, failure: str | None) -> None:
        """Note why a delivery failed, None: it did not; called by a polling thread."""
        self._failure = failure
        if failure is None:
            self._failing_from_s = math.inf
        else:
            self._failed_s = time.monotonic()
            self._failing_from_s = min(self._failing_from_s, self._failed_s)

    def failure(self) -> str | None:
        """Return why the last delivery failed; None if it did not, or long ago."""
        return self._failure if time.monotonic() < self._failed_s + _REMEMBERED_S else None

    def _new_producer(self) -> Producer:
        return Producer(
            {
                **self.kafka.librdkafka(),
                "client.id": "api",
                "error_cb": self.refusals,
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

    def _poll(self) -> None:
        while not self._stopping.is_set():
            try:
                self.current.poll(_POLL_S)
            except _FATAL as error:
                self.note(str(error.__cause__ or error))
                self._failing_from_s = -math.inf
            due_s = max(self._failing_from_s + _FAILING_S, self._replaced_s + _REPLACED_EVERY_S)
            if time.monotonic() >= due_s:
                self._replace()

    def _leave(self) -> None:
        del self.current  # this closes librdkafka and waits for its threads

    def _replace(self) -> None:
        """Switch to a new producer; the old one delivers what it still can, and then ends."""
        _log.error("Kafka needs a new producer: %s", self._failure)
        self._replaced_s = time.monotonic()
        try:
            old, self.current = self.current, self._new_producer()
        except TokenError as error:  # this is tried again
            self.note(str(error))
            return
        self._failing_from_s = math.inf
        threading.Thread(target=_end, args=(old,), name="kafka-end", daemon=True).start()


def _end(producer: Producer) -> None:
    """Wait in bounded time for a producer's last delivery reports."""
    with contextlib.suppress(*_FATAL):
        producer.flush(_END_WITHIN_S)
