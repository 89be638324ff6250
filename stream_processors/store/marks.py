"""A place in a partition's log as one comparable number: the log's incarnation and the offset.

An offset means nothing without its log. When a topic is recreated its offsets start over, and the
incarnation is raised; so a later record always has the greater mark, across logs.
"""

from typing import Final, TypeVar

import msgspec

from contracts.messages import Ints

_OFFSET_BITS: Final = 48
_offset = msgspec.json.Decoder(tuple[int, int])
_encode = msgspec.json.Encoder().encode

NOTHING: Final = -1
"""Below every mark: nothing is folded in yet."""


def mark(incarnation: int, offset: int) -> int:
    """Return the mark of a record.

    >>> mark(1, 0) > mark(0, 2**40)
    True
    """
    return incarnation << _OFFSET_BITS | offset


Marks = TypeVar("Marks", int, Ints)


def incarnation_and_offset(value: Marks) -> tuple[Marks, Marks]:
    """Invert `mark`.

    >>> incarnation_and_offset(mark(3, 7))
    (3, 7)
    """
    return value >> _OFFSET_BITS, value & (1 << _OFFSET_BITS) - 1


def text_of(value: int) -> str:
    """Return a mark as stored in Redis, `[incarnation, offset]`.

    >>> text_of(mark(3, 7))
    '[3,7]'
    """
    return _encode(incarnation_and_offset(value)).decode()


def mark_of(text: str | None) -> int:
    """Return the mark of a value in Redis, `NOTHING` without one.

    >>> mark_of("[3,7]") == mark(3, 7), mark_of(None)
    (True, -1)
    """
    return mark(*_offset.decode(text)) if text else NOTHING
