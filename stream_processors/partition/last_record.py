"""The record that was folded last, as the position keeps it. Pure.

By it a log is known again whose topic has another id, as after a move to another broker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec

from contracts.keyspace import LAST_FIELD, TOPIC_ID_FIELD
from stream_processors.transport.log import LogBounds

Record = tuple[bytes | None, bytes | None]
"""Key and value."""
_DIGEST_BYTES: Final = 8


class CopiedTopicError(RuntimeError):
    """A topic has another id, and the same records: a copy, or the same ones published again?"""

    def __init__(self, topic: str, last: "LastRecord", known_id: str, found_id: str) -> None:
        super().__init__(
            f"the topic {topic} has the id {found_id}, and what is stored was folded from one with "
            f"the id {known_id}, which had the same record at offset {last.offset}. If this one is "
            f"a copy, as after a move to another broker, run `python -m infra.topics continue "
            f"{topic}`. If it was made again and its records are to count on top of the former "
            f"ones, run `python -m infra.topics start-over {topic}`. Then start the workers again"
        )


@dataclass(frozen=True, slots=True)
class LastRecord:
    """Where it stood, and what tells it from others."""

    offset: int
    digest: str

    @classmethod
    def of(cls, offset: int, record: Record) -> "LastRecord":
        """Return what is kept of a record.

        >>> LastRecord.of(7, (b"4", b"{}")).text
        '7:3f2259975dccd86b'
        """
        content = msgspec.msgpack.encode(record)
        return cls(offset, blake2b(content, digest_size=_DIGEST_BYTES).hexdigest())

    @classmethod
    def parse(cls, text: str) -> "LastRecord":
        """Return what `text` gave."""
        offset, digest = text.split(":")
        return cls(int(offset), digest)

    @property
    def text(self) -> str:
        """As it stands in a position."""
        return f"{self.offset}:{self.digest}"


def to_compare(position: Mapping[str, str], log: LogBounds) -> LastRecord | None:
    """Return the record by which to know whether a topic of another id has the same records.

    None if the topic has the id of the position, or its log does not reach that record.
    """
    if position.get(TOPIC_ID_FIELD, log.topic_id) == log.topic_id or not position.get(LAST_FIELD):
        return None
    last = LastRecord.parse(position[LAST_FIELD])
    return last if log.earliest <= last.offset < log.end else None
