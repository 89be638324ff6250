"""Reads what Kafka batches contain, many at once.

What cannot be read is a bad record with its bytes and the reason, a record, the rest of a batch
behind a wrong length, or a batch; what follows it is read. The batch's checksum is right: it is as
its producer wrote it, so a retry would not help.
"""

import gzip
import io
import mmap
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import cramjam
import numpy as np
from aiokafka.codec import snappy_decode
from aiokafka.errors import CorruptRecordException

from contracts.batches import ABSENT
from stream_processors.compiled import CODE
from stream_processors.compiled.frames import FRAME, HEADERS, NAME, REST, Fault
from stream_processors.records import BYTES_A_RECORD, NONE, PRODUCERS_STAMP, Columns, Records
from stream_processors.transport.batches import BadRecord

UNPACKED_BYTES_MAX: Final = 64 << 20
"""Producers limit a batch's size before compression: 1 MB in librdkafka, 16 kB in Java."""
_NO_ROOM: Final = "failed to write whole buffer"
"""cramjam's error when the output exceeds the buffer."""


class UnpacksTooLargeError(ValueError):
    """A batch decompresses to more than a worker accepts."""

    def __init__(self, packed_bytes: int) -> None:
        super().__init__(f"{packed_bytes} bytes are more than {UNPACKED_BYTES_MAX} once unpacked")


class _Room(threading.local):
    """A thread's output buffer: memory that costs nothing until it is written to."""

    def __init__(self) -> None:
        self.room = mmap.mmap(-1, UNPACKED_BYTES_MAX)


_ours = _Room()


def unpacked(codec: int, payload: memoryview) -> bytes:
    """Decompress the records of a Kafka batch.

    Args:
        codec: its number in Kafka's protocol, of a batch that is compressed.
        payload: the batch without its header.

    Raises:
        Exception: it cannot be decompressed; each codec has errors of its own.
    """
    if codec not in _DECODERS:
        raise ValueError(f"codec {codec} is unknown")
    return _DECODERS[codec](payload.tobytes())


def _into_room(decompress_into: Callable[[Any, Any], int]) -> Callable[[Any], bytes]:
    def decode(payload: Any) -> bytes:
        try:
            n = decompress_into(payload, _ours.room)
        except cramjam.DecompressionError as error:
            if _NO_ROOM in str(error):
                raise UnpacksTooLargeError(len(payload)) from None
            raise
        return _ours.room[:n]

    return decode


def _gzip(payload: Any) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(payload)) as file:
        content = file.read(UNPACKED_BYTES_MAX + 1)
    if len(content) > UNPACKED_BYTES_MAX:
        raise UnpacksTooLargeError(len(payload))
    return content


_DECODERS: Final[Mapping[int, Callable[[bytes], bytes]]] = {
    1: _gzip,
    2: snappy_decode,  # its format bounds it: three bytes become at most 64
    3: _into_room(cramjam.lz4.decompress_into),
    4: _into_room(cramjam.zstd.decompress_into),
}


RECORDS_MAX: Final = 1_000_000
"""Per Kafka batch, as librdkafka's `batch.num.messages` allows."""

_HEADER: Final = struct.Struct(">q8xb4xhiqq14xi")
"""Of a batch in Kafka's format since 0.11."""
_FORMAT_AT, _FORMAT = 16, 2
_CODEC, _IS_APPENDED = 7, 8
"""Bits of a batch's attributes."""
_SMALLEST: Final = 2
"""Bytes of a record with a length that is not 0."""
_REASONS: Final = {
    FRAME: "the record cannot be parsed: its fields exceed its length",
    HEADERS: "the record's headers cannot be parsed: they do not end where the record ends",
    NAME: "a header's name is not UTF-8",
}


class Batch(NamedTuple):
    """A Kafka batch, without its header and decompressed; for aiokafka, one record: its last."""

    payload: bytes | memoryview
    n: int
    base_offset: int
    last_offset_delta: int
    appended_at: int
    """as in `Columns`"""
    fault: str = ""
    """why all of it is bad: then the payload is the batch as it was fetched"""

    @property
    def offset(self) -> int:
        """The last one."""
        return self.base_offset + self.last_offset_delta

    @property
    def capacity(self) -> int:
        """How many records there may be."""
        return min(self.n, len(self.payload) // _SMALLEST)

    @property
    def size_bytes(self) -> int:
        """The size in memory."""
        return len(self.payload) + self.capacity * BYTES_A_RECORD


def opened(raw: memoryview) -> Batch:
    """Return a batch whose checksum is right.

    Raises:
        aiokafka.errors.CorruptRecordException: its offsets are none of a log.
        MemoryError: there is no room to decompress it.
    """
    if raw[_FORMAT_AT] != _FORMAT:
        (offset,) = struct.unpack_from(">q", raw)
        why = f"a batch of format {raw[_FORMAT_AT]} is not parsed: use a client of Kafka 0.11 on"
        return Batch(raw, 0, offset, 0, PRODUCERS_STAMP, why)
    base_offset, _, attributes, last, _, max_timestamp, n = _HEADER.unpack_from(raw)
    if not 0 <= base_offset <= base_offset + last < 2**63 - 1:
        raise CorruptRecordException(f"a batch has offsets {base_offset} to {base_offset + last}")
    appended_at = max_timestamp if attributes & _IS_APPENDED else PRODUCERS_STAMP
    batch = Batch(raw[_HEADER.size :], n, base_offset, last, appended_at)
    if last >= RECORDS_MAX:
        return _bad(batch, raw, f"a batch of {last + 1} records, more than {RECORDS_MAX}")
    if not 0 <= n <= last + 1:
        return _bad(batch, raw, f"a batch of {n} records in {last + 1} offsets")
    codec = attributes & _CODEC
    if not codec or not n:
        return batch
    try:
        return batch._replace(payload=unpacked(codec, raw[_HEADER.size :]))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (each codec has errors of its own)
        return _bad(batch, raw, f"a batch of {n} records cannot be unpacked: {error}")


def _bad(batch: Batch, raw: memoryview, why: str) -> Batch:
    return batch._replace(payload=raw, n=0, fault=why)


def read(batches: Sequence[Batch], first_offset: int) -> tuple[Records, list[BadRecord]]:
    """Return the records of batches from an offset on, and what cannot be read, by offset."""
    records, bad = _parsed([batch for batch in batches if not batch.fault])
    bad += [
        BadRecord(batch.base_offset, None, bytes(batch.payload), batch.fault)
        for batch in batches
        if batch.fault
    ]
    if len(records) and records.columns.offset[0] < first_offset:
        # A fetch from the middle of a batch returns all of it.
        records = records.take(records.columns.offset >= first_offset)
    return records, sorted(
        (one for one in bad if one.offset >= first_offset), key=lambda one: one.offset
    )


def _parsed(batches: Sequence[Batch]) -> tuple[Records, list[BadRecord]]:
    if not batches:
        return NONE, []
    data = b"".join(batch.payload for batch in batches)
    capacity = sum(batch.capacity for batch in batches)
    numbers = np.array([(len(batch.payload), *batch[1:-1]) for batch in batches], np.int64)
    rows = np.empty(len(batches), np.int64)
    faults = np.empty((capacity + len(batches), len(Fault._fields)), np.int64)
    columns = np.empty((len(Columns._fields), capacity), np.int64)
    n = CODE.read_frames(data, np.ascontiguousarray(numbers.T), rows, faults, columns)
    records = Records(data, Columns(*columns[:, : rows[-1]]))
    return records, [_bad_record(data, batches, Fault(*row)) for row in faults[:n].tolist()]


def _bad_record(data: bytes, batches: Sequence[Batch], fault: Fault) -> BadRecord:
    batch, place = batches[fault.batch], fault.place
    offset, whole = batch.base_offset + place, data[fault.start : fault.end]
    if fault.why == REST:
        why = f"{fault.left} records from here on cannot be parsed: their lengths are wrong"
        return BadRecord(offset, None, whole, why if fault.left else "no record, after the last")
    if fault.why == FRAME:
        return BadRecord(offset, None, whole, _REASONS[FRAME])
    key, value = (
        None if length == ABSENT else data[at : at + length]
        for at, length in (fault[-4:-2], fault[-2:])
    )
    last = batch.last_offset_delta - fault.left
    why = f"the record's offset delta is {fault.delta}, which should be {place} to {last}"
    return BadRecord(offset, key, value, _REASONS.get(fault.why, why))
