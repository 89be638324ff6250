"""Files of events, as they are sent: in chunks, so that they may have any length."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec

from .structs import Interaction, Quote

if TYPE_CHECKING:
    import pandas as pd

Event: TypeAlias = Quote | Interaction
Source: TypeAlias = "str | os.PathLike[str] | Iterable[Event] | pd.DataFrame"

_NDJSON: Final = "application/x-ndjson"
_CSV: Final = "text/csv"
_TYPES: Final = {".csv": _CSV, ".ndjson": _NDJSON, ".jsonl": _NDJSON}
_GZIP: Final = ".gz"
_CHUNK_BYTES: Final = 256 * 1024
_ROWS: Final = 5000
_WHOLE: Final = ("user_id", "instrument_id", "ts")
"""Columns of whole numbers, the first one of texts too; pandas has a float where one is missing."""
_EXACT_BELOW: Final = 2**53


@dataclass(frozen=True)
class Upload:
    """A file of events."""

    headers: Mapping[str, str]
    chunks: Callable[[], Iterator[bytes]]
    """returns all of it from its beginning"""
    can_restart: bool = True
    """whether it does so more than once"""


class Counted:
    """Chunks, and how many bytes of them were taken."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks."""
        for chunk in self._chunks:
            self.bytes += len(chunk)
            yield chunk


def upload_of(source: Source) -> Upload:
    """Return how to send a file, events, or a data frame with the columns of a file of CSV.

    Raises:
        ValueError: the name of a file does not say what it is; or a column of whole numbers has
            floats that are none.
    """
    if isinstance(source, str | os.PathLike):
        return _of_file(Path(source))
    if hasattr(source, "to_csv"):
        frame = cast("pd.DataFrame", source)
        return Upload({"Content-Type": _CSV}, _of_frame(frame))
    can_restart = iter(source) is not source
    return Upload({"Content-Type": _NDJSON}, lambda: _of_events(source), can_restart)


def _of_file(path: Path) -> Upload:
    is_packed = path.suffix == _GZIP
    kind = Path(path.stem).suffix if is_packed else path.suffix
    if kind not in _TYPES:
        known = ", ".join(_TYPES)
        raise ValueError(f"{path} must end in one of {known}, with or without {_GZIP}: rename it")
    packed = {"Content-Encoding": "gzip"} if is_packed else {}
    return Upload({"Content-Type": _TYPES[kind], **packed}, lambda: _read(path))


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _of_events(events: Iterable[Event]) -> Iterator[bytes]:
    encoder, chunk = msgspec.json.Encoder(), bytearray()
    for event in events:
        chunk += encoder.encode(event)
        chunk += b"\n"
        if len(chunk) >= _CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)


def _of_frame(frame: "pd.DataFrame") -> Callable[[], Iterator[bytes]]:
    """Return what makes the chunks; ValueError if a column cannot be sent exactly."""
    columns = {name: _whole(name, frame[name]) for name in _WHOLE if name in frame}

    def chunks() -> Iterator[bytes]:
        for first in range(0, max(len(frame), 1), _ROWS):
            some = slice(first, first + _ROWS)
            rows: Any = frame.iloc[some]
            rows = rows.assign(**{name: column.iloc[some] for name, column in columns.items()})
            # As in RFC 4180; with "\n" alone, a "\r" in a cell would not be quoted.
            yield rows.to_csv(index=False, header=first == 0, lineterminator="\r\n").encode()

    return chunks


def _whole(name: str, column: Any) -> Any:
    """Return times as epoch ms, and as whole numbers what missing cells made floats."""
    if column.dtype.kind == "M":
        return column.dt.as_unit("ms").astype("int64").astype("Int64").mask(column.isna())
    if column.dtype.kind != "f":
        return column
    found = column.dropna()
    bad = found[(found % 1 != 0) | (found.abs() >= _EXACT_BELOW)]
    if len(bad):
        reason = f"column {name!r} has floats that are no exact whole numbers, such as"
        raise ValueError(f"{reason} {bad.iloc[0]}: make it Int64 or str")
    return column.astype("Int64")
