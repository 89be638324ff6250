"""Publishes quotes and interactions at a steady rate, and remembers what was acknowledged."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from typing import Any, Final

from confluent_kafka import Message, Producer

from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import Topic
from tests.chaos.messages import EventTime, Messages, Publication

COMPRESSIONS: Final = ("none", "zstd", "lz4", "snappy")
_TICK_S: Final = 0.05
_ERASED_SHARE: Final = 0.01

Acknowledged = dict[tuple[str, int, int], bytes | None]
"""(topic, partition, offset) -> value"""


class Feed(threading.Thread):
    """Publishes until it is stopped; a pause takes effect once everything is acknowledged."""

    def __init__(
        self,
        bootstrap_servers: str,
        seed: int,
        records_per_s: int,
        *,
        compressions: Sequence[str] = COMPRESSIONS,
    ) -> None:
        super().__init__(name="feed", daemon=True)
        self._bootstrap_servers = bootstrap_servers
        self.time = EventTime()
        self._messages = Messages(random.Random(seed), self.time, erased_share=_ERASED_SHARE)
        self._records_per_s = records_per_s
        self._compressions = compressions
        self._also: deque[Publication] = deque()
        self._connect()
        self._may_run, self._is_paused, self._ends = (threading.Event() for _ in range(3))
        self._may_run.set()
        self.acknowledged: Acknowledged = {}
        self.acknowledged_somewhere: list[tuple[tuple[str, int], bytes | None]] = []
        """what the broker knew already when it came again, and did not say at which offset"""
        self.failures: list[str] = []

    def run(self) -> None:
        """Publish, each tick through the next producer."""
        while not self._ends.is_set():
            if not self._may_run.is_set():
                self._flush()
                self._is_paused.set()
                self._may_run.wait()
                self._is_paused.clear()
            producer = next(self._turns)
            for _ in range(round(self._records_per_s * _TICK_S)):
                self._publish(producer, self._messages.next())
            while self._also:
                self._publish(producer, self._also.popleft())
            for one in self._producers:
                one.poll(0)
            time.sleep(_TICK_S)
        for producer in self._producers:
            producer.purge()

    def also(self, what: Iterable[Publication]) -> None:
        self._also.extend(what)

    def pause(self) -> None:
        """Request a pause; `is_silent` says when all is acknowledged."""
        self._may_run.clear()

    def is_silent(self) -> bool:
        return self._is_paused.is_set()

    def start_over(self, topic: Topic) -> None:
        """Forget the contents of a recreated topic; the feed is paused."""
        self._connect()  # a producer's sequence numbers went on in the former topic
        self.acknowledged = {
            place: value for place, value in self.acknowledged.items() if place[0] != topic.name
        }
        self.acknowledged_somewhere = [
            (place, value) for place, value in self.acknowledged_somewhere if place[0] != topic.name
        ]

    def go_on(self) -> None:
        self._may_run.set()

    def stop(self) -> None:
        self._ends.set()
        self._may_run.set()
        self.join()

    def _connect(self) -> None:
        self._producers = [
            Producer(
                {
                    "bootstrap.servers": self._bootstrap_servers,
                    "partitioner": LIBRDKAFKA_PARTITIONER,
                    "compression.type": compression,
                    "enable.idempotence": True,
                    # A partition that is new takes the first batch that gets to it. Were that the
                    # second one, the first would be acknowledged as a repetition, and be lost.
                    "max.in.flight.requests.per.connection": 1,
                    "linger.ms": 5,
                    "log_level": 0,
                }
            )
            for compression in self._compressions
        ]
        self._turns = cycle(self._producers)

    def _flush(self) -> None:
        while any(map(len, self._producers)) and not self._ends.is_set():
            for producer in self._producers:
                producer.flush(_TICK_S)

    def _publish(self, producer: Producer, what: Publication) -> None:
        while True:
            try:
                producer.produce(
                    what.topic,
                    what.value,
                    what.key,
                    headers=list(what.headers),
                    on_delivery=self._remember(what.value),
                )
            except BufferError:
                producer.poll(0.1)
            else:
                return

    def _remember(self, value: bytes | None) -> Callable[[Any, Message], None]:
        def delivered(error: Any, message: Message) -> None:
            place = message.topic(), message.partition()
            if error is None and message.offset() is None:
                self.acknowledged_somewhere.append((place, value))
            elif error is None:
                self.acknowledged[*place, message.offset()] = value
            elif not self._ends.is_set():
                self.failures.append(f"a record was not acknowledged: {error}")

        return delivered
