"""Every topic: its name, key, partitions and retention, who writes and who reads it.

`python -m operations.topics` creates these topics. A topic's letter is the first part of the Redis
hash tags of its partitions (`contracts.keyspace`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

DEAD_LETTERS_SUFFIX: Final = ".dead-letters"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, as agreed between the programs."""

    name: str
    letter: str
    """of a topic that is folded; empty for others, whose partitions are not part of any key"""
    key: str
    retention_h: int
    """for a compacted topic: how long a tombstone is kept for readers that lag"""
    written_by: str
    read_by: str
    partitions: int = 8
    max_message_bytes: int = 1_048_588
    """Kafka's default"""
    is_stamped_by_broker: bool = False
    """its records have the broker's timestamp rather than the producer's"""
    is_compacted: bool = False
    """the newest record of each key is kept forever; a tombstone removes the key"""
    partitioned_as: str = ""
    """name of a topic with the same number of partitions and the same assignment of keys"""


QUOTES: Final = Topic(
    name="quotes",
    letter="q",
    key="instrument id, ASCII decimal",
    retention_h=24,
    written_by="producers, api, the users' feeds",
    read_by="stream_processors: bars",
    is_stamped_by_broker=True,
)
INTERACTIONS: Final = Topic(
    name="interactions",
    letter="i",
    key="user id, UTF-8",
    # The counts can be rebuilt from scratch as far back as this log reaches.
    retention_h=24 * 365,
    written_by="producers, api, the users' feeds",
    read_by="stream_processors: histories",
    is_stamped_by_broker=True,
)
COOCCURRENCES: Final = Topic(
    name="cooccurrences",
    letter="c",
    key="none: the partition of the item that the rows belong to",
    retention_h=24 * 365,
    written_by="stream_processors: histories",
    read_by="stream_processors: cooccurrences",
)
INSTRUMENTS: Final = Topic(
    name="instruments",
    letter="n",
    key="instrument id, ASCII decimal",
    # A worker that missed a tombstone would keep the instrument forever.
    retention_h=24 * 365,
    written_by="producers, api, the users' feeds",
    read_by="stream_processors: instruments",
    is_compacted=True,
)
FEEDBACK: Final = Topic(
    name="feedback",
    letter="",
    key="user id, UTF-8",
    # An experiment runs for weeks and is measured after its end.
    retention_h=24 * 90,
    written_by="api",
    read_by="trainer, archive, and people who measure experiments",
)
BARS: Final = Topic(
    name="bars",
    letter="",
    key="instrument id, ASCII decimal",
    partitions=QUOTES.partitions,
    # Readers may be down for longer than the quotes, the source of the bars, are retained.
    retention_h=24 * 7,
    written_by="stream_processors: bars",
    read_by="archive, and anyone who wants closed bars",
    partitioned_as=QUOTES.name,
)
STREAMED: Final = (QUOTES, INTERACTIONS, COOCCURRENCES, INSTRUMENTS)
"""The topics that workers fold, each of which keeps its positions in Redis."""


def dead_letters(topic: Topic) -> Topic:
    """Return the topic for the invalid records of `topic`."""
    return Topic(
        name=topic.name + DEAD_LETTERS_SUFFIX,
        letter="",
        key="as the original's",
        partitions=1,
        retention_h=24 * 30,
        written_by="stream_processors",
        read_by="people",
        # The largest message of the original, plus the reason.
        max_message_bytes=2 * topic.max_message_bytes,
    )


ALL: Final = (*STREAMED, FEEDBACK, BARS, *map(dead_letters, STREAMED))


_REASON_MOST: Final = 1_000
"""Characters. A library's error may quote the whole record."""
_FRAME_BYTES: Final = 256
"""Of a batch and its only record, besides key, value and headers."""


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int


class Letter(NamedTuple):
    """A record of a dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def letter_of(
    topic: Topic, place: Place, key: bytes | None, value: bytes | None, reason: str
) -> Letter:
    """Return the dead letter of a record for a topic, whose dead-letter topic limits its size."""
    headers = [
        ("reason", reason[:_REASON_MOST].encode(errors="backslashreplace")),
        ("topic", place.topic.encode()),
        ("partition", b"%d" % place.partition),
        ("offset", b"%d" % place.offset),
    ]
    letter = Letter(key, value, headers)
    # Kafka's limit is on compressed bytes: records may unpack to any size.
    of_headers = sum(len(name) + len(its) for name, its in headers)
    room = dead_letters(topic).max_message_bytes - of_headers - _FRAME_BYTES
    return emptied(letter) if _size(letter) > room else letter


def emptied(letter: Letter) -> Letter:
    """Return a letter without its large parts, which are in the original record."""
    (name, reason), *place = letter.headers
    left_out = b"; its %d bytes of key and value are left out, see the original" % _size(letter)
    return Letter(None, None, [(name, reason + left_out), *place])


def _size(letter: Letter) -> int:
    return len(letter.key or b"") + len(letter.value or b"")
