"""Everything that was ever in the Kafka log, and which of it the store must reflect.

A topic may be recreated, its log may be cut, and the store may lose everything and begin another
life. Records that the log dropped since then still count; those dropped before do not.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import tenacity
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from contracts.topics import STREAMED, Topic
from tests.chaos.messages import FAR

_READ_WITHIN_S: Final = 60
_CALL_S: Final = 10
_POLL_S: Final = 0.1
_BATCH: Final = 10_000
_FOLDED: Final = frozenset(topic.name for topic in STREAMED)

Place = tuple[str, int]
"""topic and partition"""
Mark = tuple[int, int]
"""incarnation and offset, as stored in Redis"""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a partition's log."""

    offset: int
    value: bytes | None
    headers: dict[str, bytes]
    """not of messages, which may have names that are not UTF-8"""
    key: bytes | None = None
    making: int = 0
    """how many times the topic had been recreated before"""
    stamp_ms: int = 0
    """when the broker took it"""


class Log:
    """The records of some partitions, from the beginning, without those of aborted transactions."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._connect()
        self.records: dict[Place, list[Record]] = defaultdict(list)
        self._ends: dict[Place, int] = defaultdict(int)
        self._makings: dict[str, int] = defaultdict(int)
        self._earliest: dict[Place, int] = defaultdict(int)
        self._life: dict[Place, tuple[int, int]] = {}

    def read_on(self, topic: Topic, partitions: int) -> dict[int, int]:
        """Read a topic to where it ends now; return where that is, by partition.

        Raises:
            TimeoutError, KafkaException: the broker does not answer.
        """
        names = [(topic.name, p) for p in range(partitions)]
        self._consumer.assign([TopicPartition(*name, self._ends[name]) for name in names])
        ends = {name: self._end(name) for name in names}
        unread, said = set(names), ""
        until_s = time.monotonic() + _READ_WITHIN_S
        while unread:
            if time.monotonic() > until_s:
                raise TimeoutError(f"the log is not read to its end: {sorted(unread)} {said}")
            for message in self._consumer.consume(_BATCH, 0.2):
                place = message.topic(), message.partition()
                error = message.error()
                if error is None:
                    self._keep(place, message)
                    if self._ends[place] >= ends[place]:
                        unread.discard(place)
                elif error.code() == KafkaError._PARTITION_EOF:
                    # A transaction's end takes an offset, too.
                    self._ends[place] = message.offset()
                    unread.discard(place)
                else:
                    said = f"{place}: {error}"
        return {p: self._ends[topic.name, p] for p in range(partitions)}

    def was_recreated(self, topic: Topic) -> None:
        """Expect a topic's offsets to begin again at 0."""
        self.close()
        self._connect()  # librdkafka believes no leader's epoch that is less than the former's
        self._makings[topic.name] += 1
        for places in (self._ends, self._earliest):
            for place in [place for place in places if place[0] == topic.name]:
                places[place] = 0

    def was_cut(self, place: Place, earliest: int) -> None:
        """Expect records before an offset to be gone from the broker."""
        self._earliest[place] = max(self._earliest[place], earliest)

    def begin_life(self) -> None:
        """Start over from what the broker still has: the store has lost everything."""
        self._life = {
            place: (self._makings[place[0]], self._earliest[place]) for place in self.records
        }

    def counted(self, place: Place) -> Iterator[tuple[Mark, Record]]:
        """Yield the records that the store's life has seen, each under its mark there."""
        life = self._life.get(place, (0, 0))
        for record in self.records[place]:
            if (record.making, record.offset) >= life:
                yield (record.making - life[0], record.offset), record

    def former(self, place: Place) -> Iterator[Record]:
        """Yield the records that only a former life of the store has seen."""
        life = self._life.get(place, (0, 0))
        return (r for r in self.records[place] if (r.making, r.offset) < life)

    def is_renumbered(self, place: Place) -> bool:
        """Whether incarnations restarted at 0 in this life, after a topic was recreated."""
        return self._life.get(place, (0, 0))[0] > 0

    def newest(self, place: Place) -> Iterator[Record]:
        """Yield the records since the topic was last recreated."""
        making = self._makings[place[0]]
        return (record for record in self.records[place] if record.making == making)

    def close(self) -> None:
        self._consumer.close()

    def _connect(self) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap_servers,
                "group.id": "not joined",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "log_level": 0,
            }
        )

    def _end(self, place: Place) -> int:
        """Return where a log ends, as soon as it has a leader.

        Raises:
            KafkaException: nobody leads it.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(KafkaException),
            stop=tenacity.stop_after_delay(_READ_WITHIN_S),
            wait=tenacity.wait_fixed(_POLL_S),
            reraise=True,
        )
        _, end = retrying(self._consumer.get_watermark_offsets, TopicPartition(*place), _CALL_S)
        return int(end)

    def _keep(self, place: Place, message: Message) -> None:
        offset = message.offset()
        if offset >= FAR:
            offset = self._ends[place]  # of a record outside its batch
        # Asked for a header whose name is not UTF-8, confluent-kafka ends the process.
        is_message = place[0] in _FOLDED and message.value() is not None
        headers = () if is_message else message.headers()
        self.records[place].append(
            Record(
                offset,
                message.value(),
                dict(headers or ()),
                message.key(),
                self._makings[place[0]],
                message.timestamp()[1],
            )
        )
        self._ends[place] = offset + 1
