"""Reads the records of a Kafka batch that aiokafka's parser rejects, one by one.

Its parser raises at the first record that it cannot read, such as one with a header name that is
not UTF-8, which would make the rest of the log unreachable. Here such a record becomes a bad
record, with its bytes and the reason, and its length leads to the next one.

The batch's checksum has been verified: it is as its producer wrote it, so a retry would not help.
"""

# ruff: noqa: SLF001 (aiokafka's parser in Python, which has no other way to skip a record)
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import _DefaultRecordBatchPy as Batch
from aiokafka.record.util import decode_varint_py as decode_varint

from stream_processors.transport.batches import BadRecord

_MAGIC: Final = 2
"""Of Kafka's batches since 0.11. Older ones have no headers, and are left to aiokafka."""
_UNREADABLE: Final = (ValueError, IndexError, CorruptRecordException)
"""What aiokafka raises on a malformed record."""


class _Frame(NamedTuple):
    """A record's fields before its headers."""

    offset: int
    key: bytes | None
    value: bytes | None


def records_of(raw: bytes) -> tuple[list[Any], list[BadRecord]]:
    """Return the readable and the unreadable records of a batch.

    Args:
        raw: the batch, with a verified checksum.

    Raises:
        aiokafka.errors.KafkaError: its format or compression is not supported here.
    """
    batch = Batch(raw)
    if batch.magic != _MAGIC:
        raise CorruptRecordException(f"a batch of format {batch.magic} cannot be parsed")
    try:
        iter(batch)  # unpacks it
    except (MemoryError, UnsupportedCodecError):
        raise
    except Exception as error:  # noqa: BLE001 (each codec has errors of its own)
        why = f"a batch of {batch._num_records} records cannot be unpacked: {error}"
        return [], [BadRecord(batch.base_offset, None, raw, why)]
    good: list[Any] = []
    bad: list[BadRecord] = []
    for one in _each(batch):
        (bad if isinstance(one, BadRecord) else good).append(one)
    return good, bad


def _each(batch: Batch) -> Iterator[Any]:
    offset, last = batch.base_offset, batch.next_offset - 1
    for place in range(batch._num_records):
        start = batch._pos
        end = _end(batch)
        if end is None:
            n = batch._num_records - place
            why = f"{n} records from here on cannot be parsed: their lengths are wrong"
            yield BadRecord(offset, None, bytes(batch._buffer[start:]), why)
            return
        try:
            # Lengths are read in Python: the C code reads past the end, which kills the process.
            record: Any = batch._read_msg(decode_varint)
        except _UNREADABLE as error:
            record = _bad(batch, start, end, offset, error)
        batch._pos = end
        if not offset <= record.offset <= last:
            why = f"the record has offset {record.offset}, outside {offset} to {last}"
            record = BadRecord(offset, None, bytes(batch._buffer[start:end]), why)
        yield record
        offset = min(record.offset + 1, last)  # a batch may claim fewer records than it has


def _end(batch: Batch) -> int | None:
    """Return where the next record ends, by its length; None if that exceeds the batch."""
    try:
        length, start = decode_varint(batch._buffer, batch._pos)
    except _UNREADABLE:
        return None
    end: int = start + length
    return end if length > 0 and end <= len(batch._buffer) else None


def _bad(batch: Batch, start: int, end: int, offset: int, error: Exception) -> BadRecord:
    """Return an unreadable record: its key and value, or all its bytes if these are unreadable."""
    try:
        frame = _frame(batch, start, end)
    except _UNREADABLE:
        return BadRecord(
            offset, None, bytes(batch._buffer[start:end]), f"the record cannot be parsed: {error}"
        )
    if isinstance(error, UnicodeDecodeError):
        return BadRecord(*frame, f"a header's name is not UTF-8: {error}")
    return BadRecord(*frame, f"the record's headers cannot be parsed: {error}")


def _frame(batch: Batch, start: int, end: int) -> _Frame:
    """Return a record's fields before its headers.

    Raises:
        ValueError: the record is malformed.
    """
    buffer = batch._buffer
    at = start
    for _ in ("length", "attributes", "timestamp"):
        _, at = decode_varint(buffer, at)
    offset_delta, at = decode_varint(buffer, at)
    parts: list[bytes | None] = []
    for _ in ("key", "value"):
        size, at = decode_varint(buffer, at)
        if size > end - at:
            raise ValueError(f"{size} bytes in the {end - at} that are left of the record")
        parts.append(bytes(buffer[at : at + size]) if size >= 0 else None)
        at += max(size, 0)
    return _Frame(batch.base_offset + offset_delta, *parts)
