"""A place in a partition's log: which log, and the offset in it.

An offset means nothing without its log. When a topic is recreated its offsets start over, and the
incarnation is raised; so a later record always has the greater position, across logs.

In JSON a position is `[incarnation, offset]`. Where there are many, each is one number, its mark,
which sorts in the same way: in columns, in a worker's memory, and as the revision of a closed bar.
A partition's hash in Redis has two fields for it, which `next_position` reads.
"""

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from contracts.decoding import Ints

_OFFSET_BITS: Final = 48
MAX_OFFSET: Final = 2**_OFFSET_BITS - 1
MAX_INCARNATION: Final = 2**15 - 1
"""So that a mark has 63 bits."""
NOTHING: Final = -1
"""Below every mark: nothing is folded in yet."""

Marks = TypeVar("Marks", int, Ints)


class LogPosition(
    msgspec.Struct, frozen=True, order=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """The position of a record, or of the next one of a partition; a later one is greater.

    >>> LogPosition(1, 0) > LogPosition(0, 2**40)
    True
    >>> str(LogPosition(3, 7))
    '[3,7]'
    """

    incarnation: int
    offset: int

    @classmethod
    def of(cls, mark: int) -> "LogPosition":
        """Return the position that has a mark."""
        return cls(*_parts(mark))

    @property
    def mark(self) -> int:
        """The position as one number."""
        return mark(self.incarnation, self.offset)

    def __str__(self) -> str:
        return _encode(self).decode()


parse_log_position: Final = msgspec.json.Decoder(LogPosition).decode
"""Parses the text of a position; raises `msgspec.DecodeError` for another one."""
_encode: Final = msgspec.json.Encoder().encode


def mark(incarnation: int, offset: Marks) -> Marks:
    """Return the mark of a record, or of each of several, (n,), of one log.

    >>> mark(1, 0) > mark(0, 2**40)
    True
    """
    return (incarnation << _OFFSET_BITS) + offset


def mark_of(text: str | None) -> int:
    """Return the mark of a position's text, `NOTHING` without one.

    >>> mark_of("[3,7]") == mark(3, 7), mark_of(None)
    (True, -1)
    """
    return parse_log_position(text).mark if text else NOTHING


def text_of(value: int) -> str:
    """Return the text of the position that has a mark.

    >>> text_of(mark(3, 7))
    '[3,7]'
    """
    return str(LogPosition.of(value))


def positions_of(marks: Ints) -> Iterator[LogPosition]:
    """Yield the position of each mark."""
    incarnations, offsets = _parts(marks)
    return map(LogPosition, incarnations.tolist(), offsets.tolist())


def next_position(
    incarnation: str | bytes | None, next_offset: str | bytes | None
) -> LogPosition | None:
    """Return where a partition continues, by the fields of its hash in Redis; None: nowhere yet."""
    if incarnation is None or next_offset is None:
        return None
    return LogPosition(int(incarnation), int(next_offset))


def _parts(marks: Marks) -> tuple[Marks, Marks]:
    return marks >> _OFFSET_BITS, marks & MAX_OFFSET
