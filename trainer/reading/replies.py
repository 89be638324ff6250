"""Parses the bytes of Redis's replies into the spans of fields and values of many hashes. Pure.

A reply to HGETALL is lines that end with CR LF: `%n` (RESP3) or `*2n` (RESP2), and for each of n
fields `$length`, the field, `$length`, the value. If each length matches the line after it, and
the numbers of fields add up to all lines, this parse is right, and NumPy does it for all at once.
If not, as when a value has a line break in it, hiredis parses the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import hiredis
import numpy as np
import numpy.typing as npt

from contracts.messages import Ints

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


class Spans(NamedTuple):
    """Pieces of a buffer."""

    starts: Ints
    """(n,)"""
    stops: Ints
    """(n,) exclusive"""

    def of(self, which: Any) -> "Spans":
        """Return some of them: a mask, or their places."""
        return Spans(self.starts[which], self.stops[which])

    def are(self, buffer: Bytes, text: bytes) -> Flags:
        """Return (n,) whether each is this very text."""
        same: Flags = self.stops - self.starts == len(text)
        places = np.flatnonzero(same)
        for offset, byte in enumerate(text):
            same[places] &= buffer[self.starts[places] + offset] == byte
        return same


class Fields(NamedTuple):
    """Fields and values of some hashes."""

    buffer: Bytes
    """where they stand"""
    rows: Ints
    """(n_fields,) which hash each belongs to"""
    names: Spans
    """(n_fields,)"""
    values: Spans
    """(n_fields,)"""

    def of(self, which: Any) -> "Fields":
        """Return some of them: a mask, or their places."""
        return Fields(self.buffer, self.rows[which], self.names.of(which), self.values.of(which))

    def name(self, place: int) -> bytes:
        """Return the text of a field."""
        return self.buffer[self.names.starts[place] : self.names.stops[place]].tobytes()

    def value(self, place: int) -> bytes:
        """Return the text of a value."""
        return self.buffer[self.values.starts[place] : self.values.stops[place]].tobytes()


def without(fields: Fields, names: Iterable[str]) -> Fields:
    """Return the fields but those with some names."""
    is_named = np.zeros(len(fields.rows), np.bool_)
    for name in names:
        is_named |= fields.names.are(fields.buffer, name.encode())
    return fields.of(~is_named)


def fields_of(row: int, fields: Mapping[bytes, bytes]) -> Fields:
    """Return the fields of one hash."""
    return joined([(row, [text for field in fields.items() for text in field])])


def joined(parts: Sequence[tuple[int, Sequence[bytes]]]) -> Fields:
    """Return fields and values that stand in turn for each row."""
    texts = [text for _, its in parts for text in its]
    lengths = np.array([len(text) for text in texts], np.int64)
    stops = np.cumsum(lengths)
    spans = Spans(stops - lengths, stops)
    rows = np.repeat([row for row, _ in parts], [len(its) // 2 for _, its in parts])
    return Fields(
        np.frombuffer(b"".join(texts), np.uint8),
        rows.astype(np.int64),
        spans.of(slice(0, None, 2)),
        spans.of(slice(1, None, 2)),
    )


_LINES_A_FIELD: Final = 4
_SCAN_LINES: Final = 3
"""What a reply to HSCAN has before its fields: `*2`, `$length`, the cursor."""
_LF: Final = ord("\n")
_DOLLAR: Final = ord("$")
_ZERO: Final = ord("0")
_DIGITS_MOST: Final = 3
"""Of a length: no entry is longer."""


class Replies(NamedTuple):
    """What came back for some hashes."""

    fields: Fields
    refused: dict[int, str]
    """row -> what Redis said instead"""
    cursors: dict[int, int]
    """of HSCAN: row -> where to go on, if that was not all"""


class _NotPlainError(ValueError):
    """Lines do not add up to replies."""


def parse(buffer: Bytes, rows: Sequence[int], *, scanned: bool = False) -> Replies:
    """Return the fields in some replies.

    Args:
        buffer: all of them, one after the other.
        rows: (n_replies,) which hash each is for.
        scanned: whether these are replies to HSCAN rather than to HGETALL.
    """
    try:
        return _plain(buffer, rows, scanned=scanned)
    except _NotPlainError:
        return _any(buffer, rows, scanned=scanned)


def _plain(buffer: Bytes, rows: Sequence[int], *, scanned: bool) -> Replies:
    """Return the fields in replies without line ends in them."""
    lines = _lines(buffer)
    heads, refused, cursors = _heads(buffer, lines, rows, scanned=scanned)
    is_field = np.ones(len(lines.starts), np.bool_)
    is_field[[line for _, line, _ in heads]] = False
    starts, stops = (part.reshape(-1, _LINES_A_FIELD).T for part in lines.of(is_field))
    for length, text in ((0, 1), (2, 3)):
        _check_lengths(buffer, Spans(starts[length], stops[length]), stops[text] - starts[text])
    owners = np.repeat([row for row, _, _ in heads], [fields for _, _, fields in heads])
    names, values = Spans(starts[1], stops[1]), Spans(starts[3], stops[3])
    return Replies(Fields(buffer, owners.astype(np.int64), names, values), refused, cursors)


def _lines(buffer: Bytes) -> Spans:
    """Return the lines, without their ends."""
    ends = np.flatnonzero(buffer == _LF)
    starts = np.empty_like(ends)
    starts[:1] = 0
    np.add(ends[:-1], 1, out=starts[1:])
    return Spans(starts, ends - 1)


def _heads(
    buffer: Bytes, lines: Spans, rows: Sequence[int], *, scanned: bool
) -> tuple[list[tuple[int, int, int]], dict[int, str], dict[int, int]]:
    """Return row, line and number of fields (0 if none follow) of each line before fields."""
    heads: list[tuple[int, int, int]] = []
    refused: dict[int, str] = {}
    cursors: dict[int, int] = {}
    view, line = buffer.data, 0
    starts, stops = lines

    def text(line: int) -> bytes:
        return bytes(view[starts[line] : stops[line]])

    try:
        for row in rows:
            head = text(line)
            if head.startswith(b"-"):
                refused[row] = head[1:].decode(errors="replace")
                heads.append((row, line, 0))
                line += 1
                continue
            if scanned:
                if cursor := int(text(line + 2)):
                    cursors[row] = cursor
                heads += [(row, line + i, 0) for i in range(_SCAN_LINES)]
                line += _SCAN_LINES
                head = text(line)
            fields = _fields(head)
            heads.append((row, line, fields))
            line += 1 + _LINES_A_FIELD * fields
    except (IndexError, ValueError) as error:
        raise _NotPlainError from error
    if line != len(starts):
        raise _NotPlainError
    return heads, refused, cursors


def _fields(head: bytes) -> int:
    """Return how many fields follow a line."""
    kind, number = head[:1], int(head[1:])
    if kind not in (b"%", b"*") or number < 0:
        raise _NotPlainError
    return number if kind == b"%" else number // 2


def _check_lengths(buffer: Bytes, lengths: Spans, actual: Ints) -> None:
    """Take `$length` lines of up to three digits if they say how long the lines after them are.

    The entry of a weighted user with an affinity that decays is about 100 bytes long.
    """
    if not len(actual):
        return
    digits = lengths.stops - lengths.starts - 1
    plain = (buffer[lengths.starts] == _DOLLAR) & (digits >= 1) & (digits <= _DIGITS_MOST)
    said = np.zeros(len(actual), np.int64)
    for place in range(_DIGITS_MOST):
        have = slice(None) if place == 0 else np.flatnonzero(digits > place)
        digit = buffer[lengths.stops[have] - 1 - place].astype(np.int64) - _ZERO
        said[have] += 10**place * digit
    if not (plain & (said == actual)).all():
        raise _NotPlainError


def _any(buffer: Bytes, rows: Sequence[int], *, scanned: bool) -> Replies:
    """Return the fields in any replies, as hiredis reads them."""
    reader = hiredis.Reader()
    reader.feed(buffer.tobytes())
    refused: dict[int, str] = {}
    cursors: dict[int, int] = {}
    parts: list[tuple[int, list[bytes]]] = []
    for row in rows:
        reply: Any = reader.gets()
        while isinstance(reply, hiredis.PushNotification):  # of no command
            reply = reader.gets()
        if isinstance(reply, hiredis.ReplyError):
            refused[row] = str(reply)
            continue
        if scanned:
            cursor, reply = reply
            if int(cursor):
                cursors[row] = int(cursor)
        flat = (
            [text for field in reply.items() for text in field]
            if isinstance(reply, dict)
            else reply
        )
        parts.append((row, flat))
    return Replies(joined(parts), refused, cursors)
