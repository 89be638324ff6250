"""What a client has received, as the id of an event: how far into the log of each partition.

Workers write the bars of a flush in any order, and then the partition's position. So all bars that
changed up to a position are in Redis once it is, and a client has received them once it has what
was published before the next flush. A bar has the place in the log of its last quote: whether a
client has seen it follows from both, however late the quote was, and however far one partition is
behind the others. Pure.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts.log_position import LogPosition

MAX_CHARACTERS: Final = 4096
"""Of some hundred partitions."""
_TEXT: Final = re.compile(r"[0-9]{1,15}(\.[0-9a-f]{1,16})*", re.ASCII)


@dataclass(frozen=True)
class Cursor:
    """What a client has received.

    >>> str(Cursor(1629061628123, (41, 0)))
    '1629061628123.29.0'
    """

    at_ms: int
    """when, epoch ms"""
    marks: tuple[int, ...]
    """of each partition: the mark below which it has received everything"""

    def __str__(self) -> str:
        return self.encoded.decode()

    @functools.cached_property
    def encoded(self) -> bytes:
        """The text, made once for all clients."""
        return b".".join((b"%d" % self.at_ms, *(b"%x" % mark for mark in self.marks)))

    def earlier(self, other: "Cursor | None") -> "Cursor":
        """Return what was received both here and there."""
        if other is None:
            return self
        alike = len(self.marks) == len(other.marks)
        marks = map(min, self.marks, other.marks) if alike else ()
        return Cursor(min(self.at_ms, other.at_ms), tuple(marks))

    def of(self, partitions: int) -> "Cursor":
        """Return the cursor for so many partitions; one that has other marks has received nothing.

        >>> Cursor(1629061628123, ()).of(2)
        Cursor(at_ms=1629061628123, marks=(0, 0))
        """
        return self if len(self.marks) == partitions else Cursor(self.at_ms, (0,) * partitions)


UNKNOWN: Final = Cursor(0, ())
"""Of a client that names an id that no server sent."""


def parse_cursor(text: str) -> Cursor | None:
    """Return the cursor of an event's id; None if no server can have sent it.

    >>> parse_cursor("1629061628123.29.0"), parse_cursor("x")
    (Cursor(at_ms=1629061628123, marks=(41, 0)), None)
    """
    if len(text) > MAX_CHARACTERS or not _TEXT.fullmatch(text):
        return None
    at_ms, *marks = text.split(".")
    return Cursor(int(at_ms), tuple(int(mark, 16) for mark in marks))


class Progress:
    """How far the published bars of each partition have been received here.

    >>> progress = Progress([10, 20], 1000)
    >>> progress.note_stored([15, 20], 2000)
    >>> progress.is_behind(0), progress.is_behind(1)
    (True, False)
    >>> progress.note_received(0, LogPosition(0, 14)); str(progress.cursor)
    '2000.a.14'
    >>> progress.note_received(0, LogPosition(0, 16)); str(progress.cursor)
    '2000.f.14'
    """

    def __init__(self, stored: Sequence[int], now_ms: int) -> None:
        """Begin at the positions that are stored, by their marks."""
        self._stored = list(stored)
        self._received = list(stored)
        self._at_ms = now_ms
        self._cursor: Cursor | None = None

    @property
    def cursor(self) -> Cursor:
        """What clients have received that have all pending events."""
        if self._cursor is None:
            self._cursor = Cursor(self._at_ms, tuple(self._received))
        return self._cursor

    def note_stored(self, stored: Sequence[int], now_ms: int) -> None:
        """Note later positions: bars before them are published, but perhaps not received."""
        self._stored, self._at_ms, self._cursor = list(stored), now_ms, None

    def is_behind(self, partition: int) -> bool:
        """Return whether a message may show that a position is received."""
        return self._stored[partition] > self._received[partition]

    def note_received(self, partition: int, off: LogPosition) -> None:
        """Note a message with a bar that has this offset: all earlier flushes were before it."""
        stored = self._stored[partition]
        if off.mark >= stored:
            self._received[partition], self._cursor = stored, None
