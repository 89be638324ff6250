"""The records of dead-letter topics: bad ones unchanged, with reason and place in headers."""

from collections.abc import Sequence
from typing import NamedTuple

from contracts.topics import Topic, dead_letters


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
    """Return the dead letter of a record.

    Args:
        topic: the record was for; its dead-letter topic limits the letter's size.
        place: of the record.
        key: of the record.
        value: of the record.
        reason: why it was rejected.
    """
    headers = [
        ("reason", reason.encode()),
        ("topic", place.topic.encode()),
        ("partition", b"%d" % place.partition),
        ("offset", b"%d" % place.offset),
    ]
    letter = Letter(key, value, headers)
    # Kafka's limit is on compressed bytes: records may unpack to any size.
    is_too_large = _size(letter) > dead_letters(topic).max_message_bytes
    return emptied(letter) if is_too_large else letter


def emptied(letter: Letter) -> Letter:
    """Return a letter without its large parts, which are in the original record."""
    (name, reason), *place = letter.headers
    left_out = b"; its %d bytes of key and value are left out, see the original" % _size(letter)
    return Letter(None, None, [(name, reason + left_out), *place])


def _size(letter: Letter) -> int:
    return len(letter.key or b"") + len(letter.value or b"")
