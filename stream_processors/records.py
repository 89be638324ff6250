"""Records of a partition as columns: an object only for the few that are looked at one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from aiokafka.record.util import decode_varint_py as decode_varint
from aiokafka.record.util import encode_varint_py as encode_varint

from contracts.decoding import Ints
from contracts.spans import ABSENT, Spans

_APPENDED: Final = 1
"""Kafka's timestamp type for records stamped by the broker."""

BYTES_A_RECORD: Final = 9 * 8
"""Of its columns."""

Headers = tuple[tuple[str, bytes | None], ...]


PRODUCERS_STAMP: Final = -1
"""Instead of a broker's timestamp."""
_SMALLEST: Final = 7
"""Bytes of a record without key, value and headers."""


class Packed(NamedTuple):
    """The records of a Kafka batch in its bytes, and what its header says of them."""

    payload: memoryview
    """decompressed"""
    n: int
    base_offset: int
    last_offset_delta: int
    base_timestamp: int
    appended_at: int
    """the broker's timestamp of all, `PRODUCERS_STAMP` if each has its producer's"""

    @property
    def is_plausible(self) -> bool:
        """Whether the bytes have room for as many records."""
        return 0 < self.n * _SMALLEST <= len(self.payload)


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
    timestamp: Ints
    """epoch ms"""
    is_appended: Ints
    """1 if the timestamp is the broker's, 0 if it is the producer's"""
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

    @classmethod
    def of(cls, records: Sequence[Any]) -> "Records":
        """Return the columns of records as aiokafka parses them."""
        headers = [one.headers for one in records]
        written = [_written(its) if its else b"" for its in headers]
        keys, values = Spans.of([r.key for r in records]), Spans.of([r.value for r in records])
        values_at = len(keys.data)
        spans = Spans.of(written)
        n = len(records)
        columns = Columns(
            offset=np.fromiter((one.offset for one in records), np.int64, n),
            timestamp=np.fromiter((one.timestamp for one in records), np.int64, n),
            is_appended=np.fromiter(
                (one.timestamp_type == _APPENDED for one in records), np.int64, n
            ),
            key_at=keys.start,
            key_length=keys.length,
            value_at=values_at + values.start,
            value_length=values.length,
            headers_at=values_at + len(values.data) + spans.start,
            headers=np.fromiter(map(len, headers), np.int64, n),
        )
        return cls(keys.data + values.data + spans.data, columns)

    def __len__(self) -> int:
        return len(self.columns.offset)

    def __getitem__(self, place: int) -> Record:
        offset, _, _, key_at, key_length, value_at, value_length, headers_at, headers = (
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
        return None if length == ABSENT else self.data[at : at + length]

    def _headers(self, at: int, n: int) -> Headers:
        found = []
        for _ in range(n):
            length, at = decode_varint(self.data, at)
            name = self.data[at : at + length].decode()
            length, at = decode_varint(self.data, at + length)
            found.append((name, self._bytes(at, length)))
            at += max(length, 0)
        return tuple(found)


def joined(parts: Sequence[Records]) -> Records:
    """Return the records of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    start, moved = 0, []
    for part in parts:
        columns = part.columns
        moved.append(
            columns._replace(
                key_at=columns.key_at + start,
                value_at=columns.value_at + start,
                headers_at=columns.headers_at + start,
            )
        )
        start += len(part.data)
    data = b"".join(part.data for part in parts)
    return Records(data, Columns._make(map(np.concatenate, zip(*moved, strict=True))))


def _written(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Return headers as Kafka writes them."""
    written = bytearray()
    for name, value in headers:
        for part in (name.encode(), value):
            encode_varint(ABSENT if part is None else len(part), written.append)
            written += part or b""
    return bytes(written)


NONE: Final = Records.of([])
