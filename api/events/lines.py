"""Parses files of events, NDJSON and CSV, into messages. Pure.

A file is taken as a whole or not at all, as any body of events: all lines are validated before
anything is published. `Lines` takes some lines at a time, so that other requests can run in
between: 10,000 lines take tens of milliseconds.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from api.events.bodies import SENT_INTERACTION, SENT_QUOTE
from api.events.parsing import (
    MAX_REPORTED,
    EventError,
    InvalidEventsError,
    Message,
    checked,
    field_of,
    message_of,
)
from api.http.bodies import MAX_LINES, explained, strict_decoder
from api.http.parsing import Resolve
from api.http.sent import no_symbols
from contracts.input_rules import ANY, InputRules
from contracts.messages import Interaction, Quote

NDJSON: Final = ("application/x-ndjson", "application/jsonl")
CSV: Final = "text/csv"
STEP: Final = 250
"""Lines that take a millisecond or two."""

Row: TypeAlias = dict[str, str]
"""The cells of a line of CSV that are not empty, by their columns."""

_KINDS: Final[dict[str, type[Message]]] = {
    "quote": strict_decoder(SENT_QUOTE, "quote").type,
    "interaction": strict_decoder(SENT_INTERACTION, "interaction").type,
}
_COLUMNS: Final = tuple(
    dict.fromkeys(
        ["type", *(f for kind in (Quote, Interaction) for f in kind.__struct_encode_fields__)]
    )
)


class Line(NamedTuple):
    """A line with an event."""

    number: int
    """from 1, as editors count; of CSV, where its record ends"""
    event: bytes | Row


def lines_of(body: bytes, media_type: str) -> Iterator[Line]:
    """Yield the lines of a file that are not empty.

    Raises:
        InvalidEventsError: it is CSV that is not UTF-8, is malformed, or has no valid header.
    """
    if media_type in NDJSON:
        for number, text in enumerate(body.split(b"\n"), 1):
            if text.strip():
                yield Line(number, text)
    else:
        yield from _records(body)


class Lines:
    """Collects the messages of lines, and the reasons of invalid ones."""

    def __init__(self, now_ms: int, rules: InputRules = ANY, resolve: Resolve = no_symbols) -> None:
        self._now_ms = now_ms
        self._rules = rules
        self._resolve = resolve
        self._messages: list[Message] = []
        self._errors: list[EventError] = []
        self._invalid = 0

    def take(self, lines: Sequence[Line]) -> None:
        """Parse some lines.

        Raises:
            InvalidEventsError: these are too many.
        """
        for number, event in lines:
            index = len(self._messages) + self._invalid
            if index == MAX_LINES:
                raise InvalidEventsError(
                    f"at most {MAX_LINES} events are accepted in a file, line {number} has one "
                    "more: send the file in parts"
                )
            try:
                self._messages.append(self._message(event))
            except (ValueError, RecursionError) as error:
                self._invalid += 1
                if self._invalid <= MAX_REPORTED:
                    reason = str(error)
                    self._errors.append(EventError(index, reason, field_of(reason), number))

    def messages(self) -> list[Message]:
        """Return the messages.

        Raises:
            InvalidEventsError: a line is invalid, or none has an event.
        """
        if self._errors:
            first, total = self._errors[0], self._invalid + len(self._messages)
            raise InvalidEventsError(
                f"{self._invalid} of {total} events break a rule, so none was taken; "
                f"the first is in line {first.line}: {first.reason}",
                self._errors,
            )
        if not self._messages:
            raise InvalidEventsError("1 event at least is needed, no line has one")
        return self._messages

    def _message(self, event: bytes | Row) -> Message:
        if isinstance(event, bytes):
            return message_of(event, self._now_ms, self._rules, self._resolve)
        return checked(_converted(event), self._now_ms, self._rules, self._resolve)


def _records(body: bytes) -> Iterator[Line]:
    """Yield the records of CSV by RFC 4180: a header, commas, quotes; empty cells are left out."""
    try:
        reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise _broken(line, "it is not UTF-8: save the file as such") from None
    try:
        header = next(reader, [])
        _check_header(header)
        for cells in reader:
            if len(cells) > len(header):
                reason = f"{len(cells)} cells, but the header has {len(header)}"
                raise _broken(reader.line_num, reason)
            row = {name: cell for name, cell in zip(header, cells, strict=False) if cell}
            if row:
                yield Line(reader.line_num, row)
    except csv.Error as error:
        raise _broken(reader.line_num, f"it is not CSV: {error}") from None


def _check_header(header: Sequence[str]) -> None:
    unknown = [name for name in header if name not in _COLUMNS]
    twice = {name for name in header if header.count(name) > 1}
    if "type" not in header or unknown or twice:
        found = f"unknown column {unknown[0]!r:.100}" if unknown else ""
        found = found or (f"two columns {min(twice)!r}" if twice else "no column 'type'")
        raise _broken(1, f"{found}: the first line names the columns, of {', '.join(_COLUMNS)}")


def _converted(row: Row) -> Message:
    """Return the event of a row; ValueError if it is invalid."""
    kind = _KINDS.get(row.get("type", ""))
    if kind is None:
        raise ValueError(f"Invalid value {row.get('type', '')!r:.100} - at `$.type`")
    try:
        found = msgspec.convert(row, kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _ = explained(str(error), kind)
        raise ValueError(reason) from None
    return found


def _broken(line: int, reason: str) -> InvalidEventsError:
    return InvalidEventsError(
        f"line {line}: {reason}; none was taken", [EventError(0, reason, None, line)]
    )
