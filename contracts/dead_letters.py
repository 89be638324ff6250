"""The records of dead-letter topics: bad ones unchanged, with reason and place in headers."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from contracts.topics import Topic, dead_letters

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
