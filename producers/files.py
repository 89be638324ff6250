"""Reads rows of a CSV, CSV.gz or Parquet file as text, chunk by chunk in bounded memory.

The content decides which of them a file is, and what separates its values, not the name.

Everything stays the text in the file, a Parquet number its shortest decimal, so that no digit of a
price and no leading zero of a user id is lost.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

CHUNK_ROWS: Final = 5_000

_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_ZIP: Final = b"PK\x03\x04"
"""The bytes that begin a file of a format."""
_SEPARATORS: Final = ",;\t"

Row = dict[str, str]
"""field -> text; a field without a value is left out"""


class FileError(RuntimeError):
    """The file cannot be read: the message names it, the problem and the remedy."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file, in file order."""

    rows: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """the number of each row in the file, counted in its `unit`, from 1"""
    malformed: list[tuple[int, str]] = field(default_factory=list)
    """number and reason of invalid lines"""


class CsvFile:
    """A CSV file, gzipped or not: UTF-8, a header; commas, semicolons or tabs."""

    unit = "line"

    def __init__(self, path: Path, stream: IO[bytes], *, is_gzip: bool) -> None:
        self.path = path
        self._stream = stream
        self._size = max(path.stat().st_size, 1)
        plain: Any = gzip.GzipFile(fileobj=stream) if is_gzip else stream
        # Closes the stream when it is collected, and the chain forgets it at its end.
        self._text = io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")
        self._reader = csv.reader((), strict=True)
        with self._naming_errors():
            header = self._text.readline()
            separator = max(_SEPARATORS, key=header.count)
            self._reader = csv.reader(chain([header], self._text), strict=True, delimiter=separator)
            self.columns: list[str] = next(self._reader, [])
        if len(set(self.columns)) < len(self.columns):
            raise FileError(f"{path}: duplicate column names in the header {self.columns}")

    def share_read(self) -> float:
        """Return how much of the file was read, from 0 to 1."""
        return min(self._stream.tell() / self._size, 1.0)

    def chunks(self, fields: Mapping[str, str]) -> Iterator[Chunk]:
        """Read, once, the columns in `fields`, under the field names given there.

        Raises:
            FileError: the file is truncated, or not of the format that its name ends in.
        """
        places = [(at, fields[name]) for at, name in enumerate(self.columns) if name in fields]
        chunk = Chunk()
        with self._naming_errors():
            for cells in self._reader:
                if len(cells) == len(self.columns):
                    chunk.rows.append({name: cells[at] for at, name in places if cells[at]})
                    chunk.numbers.append(self._reader.line_num)
                elif cells:
                    reason = f"{len(cells)} values for the {len(self.columns)} columns: {cells}"
                    chunk.malformed.append((self._reader.line_num, reason))
                if len(chunk.rows) + len(chunk.malformed) >= CHUNK_ROWS:
                    yield chunk
                    chunk = Chunk()
        yield chunk

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise FileError(f"{self.path}: not UTF-8 ({error}): save it as UTF-8") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FileError(
                f"{self.path}: not gzip, or broken off ({error}): fetch or pack it again"
            ) from error
        except csv.Error as error:
            raise FileError(
                f"{self.path}, line {self._reader.line_num}: no CSV ({error}): correct the quotes "
                "or separators there"
            ) from error


class ParquetFile:
    """A Parquet file; its columns may be of any type that has a text form."""

    unit = "row"

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path = path
        self._read = 0
        try:
            self._file = pq.ParquetFile(stream)
        except pa.ArrowException as error:
            raise FileError(f"{path}: no Parquet file ({error}): write it again") from error
        self.columns: list[str] = self._file.schema_arrow.names
        self._rows = max(int(self._file.metadata.num_rows), 1)

    def share_read(self) -> float:
        """As `CsvFile.share_read`."""
        return self._read / self._rows

    def chunks(self, fields: Mapping[str, str]) -> Iterator[Chunk]:
        """As `CsvFile.chunks`.

        Raises:
            FileError: a column has a type without a text form, or the file is damaged.
        """
        names = [name for name in self.columns if name in fields]
        try:
            for batch in self._file.iter_batches(batch_size=CHUNK_ROWS, columns=names):
                columns = [self._texts(name, batch.column(name)) for name in names]
                first = self._read + 1
                self._read += batch.num_rows
                yield Chunk(
                    rows=[
                        {
                            fields[name]: text
                            for name, text in zip(names, texts, strict=True)
                            if text
                        }
                        for texts in zip(*columns, strict=True)
                    ],
                    numbers=list(range(first, self._read + 1)),
                )
        except (pa.ArrowException, OSError) as error:
            raise FileError(f"{self.path}: damaged ({error}): write it again") from error

    def _texts(self, name: str, values: Any) -> list[str | None]:
        # Integers with gaps arrive as floats; the user 17850.0 becomes 17850, as Arrow writes it.
        try:
            return values.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]
        except pa.ArrowException as error:
            raise FileError(
                f"{self.path}: column {name} is of type {values.type}, which is no number and no "
                "text: write it as one"
            ) from error


RowFile = CsvFile | ParquetFile


@contextmanager
def open_rows(path: Path) -> Iterator[RowFile]:
    """Open a file.

    Raises:
        FileError: it cannot be opened, or is of another format.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}: give the path of a readable file") from error
    with stream:
        head = stream.read(max(map(len, (_GZIP, _PARQUET, _ZIP))))
        stream.seek(0)
        if head.startswith(_ZIP):
            raise FileError(f"{path}: a ZIP archive or a workbook: unpack it, or save it as CSV")
        if head == _PARQUET or path.name.lower().endswith(".parquet"):
            yield ParquetFile(path, stream)
        else:
            yield CsvFile(path, stream, is_gzip=head.startswith(_GZIP))
