"""The last folded record, as stored in the position. Pure.

It identifies a log whose topic got another id, as after a move to another broker. The epoch of its
leader shows whether a log has lost it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec

from contracts.keyspace import LAST_FIELD, TOPIC_ID_FIELD
from stream_processors.transport.batches import UNKNOWN_EPOCH
from stream_processors.transport.log import LogBounds

Record = tuple[bytes | None, bytes | None]
"""Key and value."""
_DIGEST_BYTES: Final = 8


class CopiedTopicError(RuntimeError):
    """A topic has another id, but the same records: a copy, or the same ones published again?"""

    def __init__(self, topic: str, last: "LastRecord", known_id: str, found_id: str) -> None:
        super().__init__(
            f"the topic {topic} has the id {found_id}, but what is stored was folded from one with "
            f"the id {known_id}, which had the same record at offset {last.offset}. If this one is "
            f"a copy, as after a move to another broker, run `python -m operations.topics continue "
            f"{topic}`. If it was recreated and its records are to count on top of the old "
            f"ones, run `python -m operations.topics start-over {topic}`. Then restart the workers"
        )


@dataclass(frozen=True, slots=True)
class LastRecord:
    """Its offset, and a fingerprint."""

    offset: int
    digest: str
    leader_epoch: int = UNKNOWN_EPOCH

    @classmethod
    def of(cls, offset: int, record: Record, leader_epoch: int = UNKNOWN_EPOCH) -> "LastRecord":
        """Return what is stored of a record.

        >>> LastRecord.of(7, (b"4", b"{}"), leader_epoch=2).text
        '7:3f2259975dccd86b:2'
        """
        content = msgspec.msgpack.encode(record)
        return cls(offset, blake2b(content, digest_size=_DIGEST_BYTES).hexdigest(), leader_epoch)

    @classmethod
    def parse(cls, text: str) -> "LastRecord":
        """Parse `text`."""
        offset, digest, leader_epoch = text.split(":")
        return cls(int(offset), digest, int(leader_epoch))

    @property
    def text(self) -> str:
        """As stored in a position."""
        return f"{self.offset}:{self.digest}:{self.leader_epoch}"

    def has(self, record: Record) -> bool:
        """Whether a record is the same one."""
        return LastRecord.of(self.offset, record).digest == self.digest


def last_in(position: Mapping[str, str]) -> LastRecord | None:
    """Return the last record stored in a position."""
    return LastRecord.parse(text) if (text := position.get(LAST_FIELD)) else None


def to_compare(position: Mapping[str, str], log: LogBounds) -> LastRecord | None:
    """Return the record that shows whether a topic with another id has the same records.

    None if the topic has the id of the position, or its log does not reach that record.
    """
    last = last_in(position)
    if last is None or position[TOPIC_ID_FIELD] == log.topic_id:
        return None
    return last if log.earliest <= last.offset < log.end else None
