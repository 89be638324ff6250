"""Publishes quotes and interactions at a steady rate, and remembers what was acknowledged.

Event time runs a minute a second, so that bars also leave their retention; within five minutes the
quotes come in any order. Every number is a multiple of 1/64 or a whole one: sums of them are exact
in any order, and may be compared with `==`.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import Message, Producer

from contracts.messages import EVENT_TYPES, Interaction, Quote, encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import INTERACTIONS, QUOTES

_EVENT_TIME_SPEED: Final = 60
_STARTS_MS: Final = 1_700_000_040_000
_DISORDER_MS: Final = 5 * 60_000
_INSTRUMENTS: Final = 50
_USERS: Final = 150
_TICK_S: Final = 0.05
_BAD_SHARE: Final = 0.005
_BAD_VALUES: Final = (b"", b"not JSON", b'{"instrument_id":-1}', b"\xff\xfe")

Acknowledged = dict[tuple[str, int, int], bytes]
"""(topic, partition, offset) -> value"""


class Feed(threading.Thread):
    """Publishes until it is stopped; a pause ends with everything acknowledged."""

    def __init__(self, bootstrap_servers: str, seed: int, records_per_s: int) -> None:
        super().__init__(name="feed", daemon=True)
        self._rng = random.Random(seed)
        self._records_per_s = records_per_s
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "enable.idempotence": True,
                "linger.ms": 5,
                "log_level": 0,
            }
        )
        self._began_s = time.monotonic()
        self._may_run, self._is_paused, self._ends = (threading.Event() for _ in range(3))
        self._may_run.set()
        self.acknowledged: Acknowledged = {}
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._ends.is_set():
            if not self._may_run.is_set():
                while len(self._producer) and not self._ends.is_set():
                    self._producer.flush(_TICK_S)
                self._is_paused.set()
                self._may_run.wait()
                self._is_paused.clear()
            for _ in range(round(self._records_per_s * _TICK_S)):
                self._publish_one()
            self._producer.poll(0)
            time.sleep(_TICK_S)
        self._producer.purge()

    def pause(self) -> None:
        """Ask for silence; `is_silent` tells when all is acknowledged."""
        self._may_run.clear()

    def is_silent(self) -> bool:
        return self._is_paused.is_set()

    def go_on(self) -> None:
        self._may_run.set()

    def stop(self) -> None:
        self._ends.set()
        self._may_run.set()
        self.join()

    def _publish_one(self) -> None:
        rng = self._rng
        message = self._quote() if rng.random() < 2 / 3 else self._interaction()
        topic = QUOTES if isinstance(message, Quote) else INTERACTIONS
        is_bad = rng.random() < _BAD_SHARE
        value = rng.choice(_BAD_VALUES) if is_bad else encode(message)
        while True:
            try:
                self._producer.produce(
                    topic.name, value, key_of(message), on_delivery=self._remember(value)
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _quote(self) -> Quote:
        rng = self._rng
        return Quote(
            instrument_id=rng.randrange(_INSTRUMENTS),
            price=rng.randint(64, 64_000) / 64,
            size=rng.randint(0, 500),
            ts=self._event_time_ms(),
        )

    def _interaction(self) -> Interaction:
        rng = self._rng
        return Interaction(
            user_id=f"user-{rng.randrange(_USERS)}",
            instrument_id=int(_INSTRUMENTS * rng.random() ** 2),
            event=rng.choice(EVENT_TYPES),
            ts=self._event_time_ms(),
        )

    def _event_time_ms(self) -> int:
        since_ms = (time.monotonic() - self._began_s) * 1000 * _EVENT_TIME_SPEED
        # Whole seconds make ties, which the log's order decides.
        return (_STARTS_MS + int(since_ms) - self._rng.randrange(_DISORDER_MS)) // 1000 * 1000

    def _remember(self, value: bytes) -> Callable[[Any, Message], None]:
        def delivered(error: Any, message: Message) -> None:
            if error is None:
                self.acknowledged[message.topic(), message.partition(), message.offset()] = value
            elif not self._ends.is_set():
                self.failures.append(f"a record was not acknowledged: {error}")

        return delivered
