"""Reads the catalog's symbols from the topic `instruments`."""

import contextlib
import time
from typing import Final, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from contracts.instruments import decode_instrument_record
from contracts.topics import INSTRUMENTS
from producers.adapt.symbols import Symbols
from producers.publisher import PublishingError
from runtime.kafka.config import KafkaConfig

_RECORDS_AT_ONCE: Final = 10_000
_COMES_WITHIN_S: Final = 0.2
"""What was published before is fetched within this time."""
_ANEW_AFTER_S: Final = 1.0


class Catalog:
    """Keeps symbols up to date."""

    def __init__(self, kafka: KafkaConfig, symbols: Symbols) -> None:
        self._symbols = symbols
        self._caught_up_s = 0.0
        self._consumer = Consumer(
            {
                **kafka.librdkafka(),
                "client.id": "tickrec-producers",
                "group.id": kafka.topic("adapt"),  # required, and never joined
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "log_level": 2,
            }
        )
        self._topic = kafka.topic(INSTRUMENTS.name)

    def load(self, partitions: int, within_s: float) -> None:
        """Read the topic from its beginning to its end.

        Raises:
            PublishingError: it is not at the end in time.
        """
        unread = set(range(partitions))
        self._consumer.assign([TopicPartition(self._topic, n, OFFSET_BEGINNING) for n in unread])
        deadline = time.monotonic() + within_s
        while unread:
            unread -= self._take(_COMES_WITHIN_S)[1]
            if time.monotonic() > deadline:
                raise PublishingError(
                    f"the catalog in {self._topic} was not read to its end within {within_s:g} s: "
                    "is a broker away?"
                )

    def refresh(self) -> None:
        """Take the records that have come since."""
        while self._take(0)[0]:
            pass

    def catch_up(self) -> bool:
        """Return whether there may be new symbols; at most once a second."""
        if time.monotonic() < self._caught_up_s + _ANEW_AFTER_S:
            return False
        while self._take(_COMES_WITHIN_S)[0]:
            pass
        self._caught_up_s = time.monotonic()
        return True

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _take(self, timeout_s: float) -> tuple[int, set[int]]:
        """Take records; return how many, and the partitions that are at their ends."""
        messages = self._consumer.consume(_RECORDS_AT_ONCE, timeout_s)
        at_end: set[int] = set()
        for message in messages:
            error = message.error()
            if error is None:
                self._put(message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public name)
                at_end.add(cast("int", message.partition()))
            else:
                raise KafkaException(error)
        return len(messages) - len(at_end), at_end

    def _put(self, key: bytes | None, value: bytes | None) -> None:
        with contextlib.suppress(ValueError):  # the workers put it into the dead letters
            self._symbols.put(*decode_instrument_record(key, value))
