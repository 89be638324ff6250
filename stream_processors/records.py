"""Records of a partition as columns: an object only for the few that are looked at one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from aiokafka.record.util import decode_varint_py as decode_varint

from contracts.batches import Spans
from contracts.decoding import Ints

BYTES_A_RECORD: Final = 8 * 8
"""Of its columns."""

Headers = tuple[tuple[str, bytes | None], ...]

PRODUCERS_STAMP: Final = -1
"""Instead of a broker's timestamp."""


class Record(NamedTuple):
    """A record by itself."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Columns(NamedTuple):
    """Of n records, (n,) each; lengths are `ABSENT` for what a record does not have."""

    offset: Ints
    """ascending"""
    appended_at: Ints
    """the broker's timestamp, epoch ms; `PRODUCERS_STAMP` if each has its producer's"""
    key_at: Ints
    key_length: Ints
    value_at: Ints
    value_length: Ints
    headers_at: Ints
    """where they start, written as Kafka does"""
    headers: Ints
    """their number"""


@dataclass(frozen=True, slots=True)
class Records:
    """The records, in the bytes that have their keys, values and headers."""

    data: bytes
    columns: Columns

    def __len__(self) -> int:
        return len(self.columns.offset)

    def __getitem__(self, place: int) -> Record:
        offset, _, key_at, key_length, value_at, value_length, headers_at, headers = (
            int(column[place]) for column in self.columns
        )
        return Record(
            offset,
            self._bytes(key_at, key_length),
            self._bytes(value_at, value_length),
            self._headers(headers_at, headers),
        )

    def __iter__(self) -> Iterator[Record]:
        return map(self.__getitem__, range(len(self)))

    @property
    def size_bytes(self) -> int:
        """The size in memory."""
        return len(self.data) + len(self) * BYTES_A_RECORD

    @property
    def values(self) -> Spans:
        """The records' values."""
        return Spans(self.data, self.columns.value_at, self.columns.value_length)

    def take(self, which: slice | npt.NDArray[np.bool_]) -> "Records":
        """Return some of the records."""
        return Records(self.data, Columns._make(column[which] for column in self.columns))

    def with_headers(self) -> Iterator[Record]:
        """Yield the records that have headers."""
        return map(self.__getitem__, np.flatnonzero(self.columns.headers).tolist())

    def _bytes(self, at: int, length: int) -> bytes | None:
        return None if length < 0 else self.data[at : at + length]

    def _headers(self, at: int, n: int) -> Headers:
        found = []
        for _ in range(n):
            length, at = decode_varint(self.data, at)
            name = self.data[at : at + length].decode()
            length, at = decode_varint(self.data, at + length)
            found.append((name, self._bytes(at, length)))
            at += max(length, 0)
        return tuple(found)


NONE: Final = Records(b"", Columns(*np.empty((len(Columns._fields), 0), np.int64)))
