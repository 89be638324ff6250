"""Turns the rows of a file into records of `instruments`, skipping invalid rows."""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.topics import INSTRUMENTS
from producers.batch import Batch, Record
from producers.files import Chunk, FileError, Row, RowFile
from producers.replay import place_in
from producers.run import Rejected

_SYMBOL_COLUMNS: Final = ("symbol", "code")
"""The first one that a file has is the symbol."""
_BETWEEN_CATEGORIES: Final = ";"


def instruments_in(file: RowFile, rejected: Rejected) -> Iterator[Batch]:
    """Yield the rows of a file as records, in file order.

    Columns are instrument_id, symbol (or code), and optionally name (the symbol without one),
    categories (separated by semicolons) and listed. Whitespace around a value is stripped.

    Args:
        file: with these columns; others are ignored.
        rejected: receives the invalid rows.

    Raises:
        FileError: a needed column is missing, or the file cannot be read to its end.
    """
    for chunk in file.chunks(_columns(file)):
        for number, reason in chunk.malformed:
            rejected.add(f"{place_in(file, number)}: {reason}")
        records = list(_records(file, chunk, rejected))
        if records:
            yield Batch(ts_ms=np.zeros(len(records), np.int64), records=records)


def _columns(file: RowFile) -> dict[str, str]:
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


def _records(file: RowFile, chunk: Chunk, rejected: Rejected) -> Iterator[Record]:
    for number, row in zip(chunk.numbers, chunk.rows, strict=True):
        try:
            instrument = _instrument(row)
            value = encode_instrument(instrument)
        except ValueError as error:
            rejected.add(f"{place_in(file, number)}: {error}, in {row}")
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
    return msgspec.convert(said, Instrument, strict=False)
