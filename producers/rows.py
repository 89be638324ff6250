"""Turns the rows of a file into records, skipping rows that violate the contracts.

Quotes and interactions are validated as their readers do it: encoded, and decoded again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec
import numpy as np
import structlog

from contracts.batches import decode_interactions, decode_quotes
from contracts.input_rules import ANY, InputRules
from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.messages import Interaction, Quote, Rejection, encode, key_of
from contracts.reasons import violation
from contracts.times import parse_time
from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES, Topic
from producers.batch import Batch, Record
from producers.files import Chunk, FileError, Row, RowFile
from producers.run import Rejected

_EPOCH_COLUMN: Final = "ts_ms"
"""Another name of the column `ts`."""
_SYMBOL_COLUMNS: Final = ("symbol", "code")
"""The first one that a file of instruments has is the symbol."""
_BETWEEN_CATEGORIES: Final = ";"

log = structlog.get_logger(__name__)

M = TypeVar("M", Quote, Interaction)


@dataclass(frozen=True, slots=True)
class Kind(Generic[M]):
    """The kind of a file's rows."""

    topic: Topic
    message: type[M]
    judge: Callable[[list[bytes], int, InputRules], list[Rejection]]
    """record values, the clock, epoch ms, and the rules -> records that readers will reject"""

    @property
    def columns(self) -> dict[str, str]:
        """The columns that a file may have -> the fields of the message."""
        return {name: name for name in self.message.__struct_fields__} | {_EPOCH_COLUMN: "ts"}

    @property
    def needed(self) -> list[str]:
        """The columns that a file must have."""
        fields = msgspec.structs.fields(self.message)
        return [field.name for field in fields if field.required]


QUOTE_ROWS: Final = Kind(QUOTES, Quote, lambda *given: decode_quotes(*given)[1])
INTERACTION_ROWS: Final = Kind(
    INTERACTIONS, Interaction, lambda *given: decode_interactions(*given)[1]
)


def check_columns(file: RowFile, kind: Kind[M]) -> None:
    """Check that the file has the columns that a kind needs.

    Raises:
        FileError: one is missing.
    """
    given = {kind.columns.get(column) for column in file.columns}
    missing = [field for field in kind.needed if field not in given]
    if missing:
        raise FileError(
            f"{file.path}: no column {', '.join(missing)} among {', '.join(file.columns) or 'none'}"
            f": {kind.topic.name} need {', '.join(kind.needed)}; name the columns so"
        )
    if {"ts", _EPOCH_COLUMN} <= set(file.columns):
        raise FileError(f"{file.path}: has the columns ts and {_EPOCH_COLUMN}: leave one out")
    unknown = [column for column in file.columns if column not in kind.columns]
    if unknown:
        log.info("columns ignored", file=str(file.path), columns=unknown)


def message_records(
    file: RowFile,
    kind: Kind[M],
    rejected: Rejected,
    now_ms: Callable[[], int],
    rules: InputRules = ANY,
) -> Iterator[Batch]:
    """Yield the valid rows of a file as records, in file order; others are added to `rejected`.

    Raises:
        FileError: the file cannot be read to its end.
    """
    for chunk in file.chunks(kind.columns):
        for number, reason in chunk.malformed:
            rejected.add(_place_in(file, number), reason)
        batch = _batch(file, kind, chunk, rejected, now_ms(), rules)
        if batch.records:
            yield batch


def _batch(
    file: RowFile,
    kind: Kind[M],
    chunk: Chunk,
    rejected: Rejected,
    now_ms: int,
    rules: InputRules,
) -> Batch:
    def reject(place: int, reason: str) -> None:
        rejected.add(_place_in(file, chunk.numbers[place]), reason)

    places, messages = _converted(kind.message, chunk.rows, reject)
    values = [encode(message) for message in messages]
    refused = set()
    for place, reason in kind.judge(values, now_ms, rules):
        refused.add(place)
        reject(places[place], reason)
    good = [place for place in range(len(messages)) if place not in refused]
    topic = kind.topic.name
    return Batch(
        ts_ms=np.fromiter((messages[place].ts for place in good), np.int64, len(good)),
        records=[(topic, key_of(messages[place]), values[place]) for place in good],
    )


def _converted(
    message: type[M], rows: list[Row], reject: Callable[[int, str], None]
) -> tuple[list[int], list[M]]:
    """Return indices and messages of the rows with valid types; their times become epoch ms."""
    for row in rows:
        ts = row.get("ts", "")
        if not ts.isdigit() and (ts_ms := parse_time(ts)) is not None:
            row["ts"] = str(ts_ms)
    try:
        return list(range(len(rows))), msgspec.convert(rows, list[message], strict=False)  # type: ignore[valid-type]
    except msgspec.ValidationError:
        pass  # one by one, to find out which
    places, messages = [], []
    for place, row in enumerate(rows):
        try:
            messages.append(msgspec.convert(row, message, strict=False))
            places.append(place)
        except msgspec.ValidationError as error:
            reject(place, str(violation(error, row)))
    return places, messages


def instrument_records(file: RowFile, rejected: Rejected) -> Iterator[Batch]:
    """Yield the rows of a file as records, in file order.

    Columns are instrument_id, symbol (or code), and optionally name (the symbol without one),
    categories (separated by semicolons) and listed. Whitespace around a value is stripped.

    Args:
        file: with these columns; others are ignored.
        rejected: receives the invalid rows.

    Raises:
        FileError: a needed column is missing, or the file cannot be read to its end.
    """
    for chunk in file.chunks(_instrument_columns(file)):
        for number, reason in chunk.malformed:
            rejected.add(_place_in(file, number), reason)
        records = list(_instrument_records(file, chunk, rejected))
        if records:
            yield Batch(ts_ms=np.zeros(len(records), np.int64), records=records)


def _instrument_columns(file: RowFile) -> dict[str, str]:
    """Return the file's columns -> the fields of the message.

    Raises:
        FileError: a needed one is missing.
    """
    symbol = next((column for column in _SYMBOL_COLUMNS if column in file.columns), None)
    if symbol is None or "instrument_id" not in file.columns:
        raise FileError(
            f"{file.path}: has the columns {', '.join(file.columns) or 'none'}: instruments need "
            "instrument_id and symbol (or code); name the columns so"
        )
    same = {name: name for name in ("instrument_id", "name", "categories", "listed")}
    return {**same, symbol: "symbol"}


def _instrument_records(file: RowFile, chunk: Chunk, rejected: Rejected) -> Iterator[Record]:
    for number, row in zip(chunk.numbers, chunk.rows, strict=True):
        try:
            instrument = _instrument(row)
            value = encode_instrument(instrument)
        except ValueError as error:
            rejected.add(_place_in(file, number), str(error))
        else:
            yield INSTRUMENTS.name, instrument_key(instrument.instrument_id), value


def _instrument(row: Row) -> Instrument:
    """Return the instrument of a row.

    Raises:
        ValueError: the row is invalid.
    """
    said: dict[str, str | list[str]] = {
        field: text for field, cell in row.items() if (text := cell.strip())
    }
    if "symbol" in said:
        said.setdefault("name", said["symbol"])
    categories = row.get("categories", "").split(_BETWEEN_CATEGORIES)
    said["categories"] = [text for category in categories if (text := category.strip())]
    try:
        return msgspec.convert(said, Instrument, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(violation(error, said))) from None


def _place_in(file: RowFile, number: int) -> str:
    """Return a row's location, for messages."""
    return f"{file.path}, {file.unit} {number}"
