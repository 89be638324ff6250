"""Parses the lines of files of events, NDJSON and CSV, into messages. Pure.

`Lines` takes a part of a file at a time, and yields after some lines, so that other requests can
run in between: a part takes tens of milliseconds. Invalid lines are noted, and all others are still
checked.
"""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
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
from api.http.bodies import explained, strict_decoder
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
COLUMNS: Final = tuple(
    dict.fromkeys(
        ["type", *(f for kind in (Quote, Interaction) for f in kind.__struct_encode_fields__)]
    )
)


class Place(NamedTuple):
    """Where in a file a part ends, and what is needed to read on from there."""

    lines: int = 0
    events: int = 0
    columns: tuple[str, ...] = ()
    """of CSV, once its header is read"""


class _Line(NamedTuple):
    """A line of a file."""

    number: int
    """from 1, as editors count; of CSV, where its record ends"""
    event: bytes | Row
    """false if it has none"""


class Lines:
    """Parses the parts of a file one after the other."""

    def __init__(
        self,
        media_type: str,
        rules: InputRules = ANY,
        resolve: Resolve = no_symbols,
        place: Place = Place(),  # noqa: B008 (it is immutable)
    ) -> None:
        """Begin a file, or continue one at a `place`; `resolve` finds instruments by symbols."""
        self._is_csv = media_type == CSV
        self._rules = rules
        self._resolve = resolve
        self.place = place
        self._errors: list[EventError] = []
        self._invalid = 0

    @property
    def are_valid(self) -> bool:
        """Whether all lines so far are."""
        return not self._errors

    def take(self, part: bytes, now_ms: int) -> Iterator[list[Message]]:
        """Yield the messages of a part, those of `STEP` lines at a time.

        None is for publishing before the part has ended: a later line may be invalid.

        Raises:
            InvalidEventsError: the part cannot be read to its end.
        """
        found: list[Message] = []
        before, events = self.place, self.place.events
        if before.lines == 0:
            part = part.removeprefix(codecs.BOM_UTF8)
        lines: Iterable[_Line] = (
            self._records(part)
            if self._is_csv
            else map(_Line, count(before.lines + 1), map(bytes.strip, part.split(b"\n")))
        )
        for n, (number, event) in enumerate(lines, 1):
            if event:
                events += 1
                try:
                    found.append(self._message(event, now_ms))
                except (ValueError, RecursionError) as error:
                    self._note(EventError(events - 1, str(error), field_of(str(error)), number))
            if n % STEP == 0:
                yield found
                found = []
        ended = part.count(b"\n") + (part[-1:] not in (b"", b"\n"))
        self.place = Place(before.lines + ended, events, self.place.columns)
        yield found

    def check(self) -> None:
        """Raise InvalidEventsError if a line is invalid, or none has an event."""
        if self._errors:
            first = self._errors[0]
            raise InvalidEventsError(
                f"{self._invalid} of {self.place.events} events invalid; "
                f"the first is in line {first.line}: {first.reason}",
                self._errors,
            )
        if not self.place.events:
            raise InvalidEventsError("1 event at least is needed, no line has one")

    def _note(self, error: EventError) -> None:
        self._invalid += 1
        if self._invalid <= MAX_REPORTED:
            self._errors.append(error)

    def _message(self, event: bytes | Row, now_ms: int) -> Message:
        if isinstance(event, bytes):
            return message_of(event, now_ms, self._rules, self._resolve)
        return checked(_converted(event), now_ms, self._rules, self._resolve)

    def _records(self, part: bytes) -> Iterator[_Line]:
        """Yield the records of CSV by RFC 4180: a header, commas, quotes; empty cells are left out.

        Raises:
            InvalidEventsError: it is not UTF-8, is malformed, or has no valid header.
        """
        before = self.place.lines
        try:
            reader = csv.reader(io.StringIO(part.decode(), newline=""), strict=True)
        except UnicodeDecodeError as error:
            line = before + part[: error.start].count(b"\n") + 1
            raise broken(line, "it is not UTF-8: save the file as such") from None
        try:
            if before == 0:
                self.place = self.place._replace(columns=_checked_header(next(reader, [])))
            columns = self.place.columns
            for cells in reader:
                number = before + reader.line_num
                if len(cells) > len(columns):
                    reason = f"{len(cells)} cells, but the header has {len(columns)}"
                    raise broken(number, reason)
                row = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
                yield _Line(number, row)
        except csv.Error as error:
            raise broken(before + reader.line_num, f"it is not CSV: {error}") from None


def broken(line: int, reason: str) -> InvalidEventsError:
    """Return the error of a file that cannot be read beyond a line."""
    return InvalidEventsError(f"line {line}: {reason}", [EventError(0, reason, None, line)])


def _checked_header(header: Sequence[str]) -> tuple[str, ...]:
    unknown = next((name for name in header if name not in COLUMNS), None)
    twice = next((name for name, n in Counter(header).items() if n > 1), None)
    if unknown is not None:
        found = f"unknown column {unknown!r:.100}"
    elif twice is not None:
        found = f"two columns {twice!r}"
    elif "type" not in header:
        found = "no column 'type'"
    else:
        return tuple(header)
    raise broken(1, f"{found}: the first line names the columns, of {', '.join(COLUMNS)}")


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
