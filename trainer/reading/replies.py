"""Parses the bytes of Redis's replies into the spans of fields and values. Pure.

A reply to HGETALL is lines that end with CR LF: `%n` (RESP3) or `*2n` (RESP2), and for each of n
fields `$length`, the field, `$length`, the value. If each length matches the line after it, and
the numbers of fields add up to all lines, this parse is right, and NumPy does it for all at once.
If not, as when a value has a line break in it, hiredis parses the same bytes.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import hiredis
import numpy as np

from contracts.messages import Ints
from trainer.reading.fields import Bytes, Fields, Spans, joined

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
