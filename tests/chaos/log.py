"""Everything that stands in the Kafka log, read as it grows."""

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from contracts.topics import Topic

_READ_WITHIN_S: Final = 60
_BATCH: Final = 10_000


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a partition's log."""

    offset: int
    value: bytes
    headers: dict[str, bytes]


class Log:
    """The records of some partitions, from the beginning."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "not joined",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "log_level": 0,
            }
        )
        self.records: dict[tuple[str, int], list[Record]] = defaultdict(list)

    def read_on(self, topic: Topic, partitions: int) -> dict[int, int]:
        """Read a topic to its end; return where that is, by partition.

        Raises:
            TimeoutError: the broker does not answer.
        """
        names = [(topic.name, p) for p in range(partitions)]
        self._consumer.assign([TopicPartition(*name, self._end(name)) for name in names])
        unread = set(names)
        until_s = time.monotonic() + _READ_WITHIN_S
        while unread:
            if time.monotonic() > until_s:
                raise TimeoutError(f"the log could not be read to its end: {sorted(unread)}")
            for message in self._consumer.consume(_BATCH, 0.2):
                place = message.topic(), message.partition()
                error = message.error()
                if error is None:
                    record = Record(
                        message.offset(), message.value(), dict(message.headers() or ())
                    )
                    self.records[place].append(record)
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(place)
        return {p: self._end((topic.name, p)) for p in range(partitions)}

    def close(self) -> None:
        self._consumer.close()

    def _end(self, place: tuple[str, int]) -> int:
        records = self.records[place]
        return records[-1].offset + 1 if records else 0
