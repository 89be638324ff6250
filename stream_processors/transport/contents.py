"""Reads what Kafka batches contain, many at once.

Batches written the usual way are read by compiled code. Where there is none, or one of them is
written otherwise, aiokafka's parser reads them, and `salvage` what that cannot read.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.errors import UnsupportedCodecError

from stream_processors.compiled import CODE
from stream_processors.records import (
    BYTES_A_RECORD,
    NONE,
    PRODUCERS_STAMP,
    Packed,
    Records,
    joined,
)
from stream_processors.transport import salvage
from stream_processors.transport.batches import BadRecord
from stream_processors.transport.unpacking import unpacked

RECORDS_MAX: Final = 1_000_000
"""Per Kafka batch, as librdkafka's `batch.num.messages` allows."""

_FRAMED: Final = 2
"""Kafka's format since 0.11."""
_N: Final = struct.Struct(">57xi")
"""The number of records, at the end of a batch's header."""

_Parsed = tuple[Records, Sequence[BadRecord]]


class Contents:
    """What a Kafka batch with a right checksum contains; for aiokafka, one record: its last."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        """Unpack a batch, and parse it unless compiled code may.

        Args:
            batch: as aiokafka's parser represents it.
            raw: its bytes.

        Raises:
            aiokafka.errors.KafkaError: its format or compression is not supported here.
        """
        self._batch = batch
        self._raw = raw
        self.offset = batch.next_offset - 1
        self.packed = _packed(batch, raw) if CODE.records_of else None
        self._parsed = self._parse() if self.packed is None else None

    @property
    def size_bytes(self) -> int:
        """The size in memory."""
        if self.packed is not None:
            return len(self.packed.payload) + self.packed.n * BYTES_A_RECORD
        records, unreadable = self.parsed()
        return records.size_bytes + sum(len(one.value or b"") for one in unreadable)

    def parsed(self) -> _Parsed:
        """Return the records, read one by one, and those that cannot be."""
        return self._parse() if self._parsed is None else self._parsed

    def _parse(self) -> _Parsed:
        # Batches of an old format have no record count.
        n = getattr(self._batch, "last_offset_delta", 0) + 1
        if n > RECORDS_MAX:
            why = f"a batch of {n} records, more than {RECORDS_MAX}, is not parsed"
            return NONE, [BadRecord(self._batch.base_offset, None, bytes(self._raw), why)]
        try:
            return Records.of(list(self._batch)), ()
        except (MemoryError, UnsupportedCodecError):
            raise
        except Exception:  # noqa: BLE001 (the checksum is right: what is wrong is the producer's)
            records, unreadable = salvage.records_of(bytes(self._raw))
            return Records.of(records), unreadable


def read(batches: Sequence[Contents], first_offset: int) -> _Parsed:
    """Return the records of batches from an offset on, and those that cannot be parsed."""
    if not batches:
        return NONE, ()
    unreadable: list[BadRecord] = []
    records = _framed([one.packed for one in batches])
    if records is None:
        parts = [one.parsed() for one in batches]
        records = joined([part for part, _ in parts])
        unreadable = [one for _, some in parts for one in some if one.offset >= first_offset]
    if len(records) and records.columns.offset[0] < first_offset:
        # A fetch from the middle of a batch returns all of it.
        records = records.take(records.columns.offset >= first_offset)
    return records, unreadable


def _framed(batches: Sequence[Packed | None]) -> Records | None:
    packed = [one for one in batches if one is not None]
    if CODE.records_of is None or len(packed) < len(batches):
        return None
    return CODE.records_of(packed)


def _packed(batch: Any, raw: memoryview) -> Packed | None:
    """Return a batch's records unpacked; None if it is not of a kind that `frames` may read."""
    if getattr(batch, "magic", 0) != _FRAMED:
        return None
    (n,) = _N.unpack_from(raw)
    payload = raw[_N.size :]
    try:
        if batch.compression_type:
            payload = memoryview(unpacked(batch.compression_type, payload))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (each codec has errors of its own: the parser says which)
        return None
    appended_at = batch.max_timestamp if batch.timestamp_type else PRODUCERS_STAMP
    packed = Packed(
        payload, n, batch.base_offset, batch.last_offset_delta, batch.first_timestamp, appended_at
    )
    is_plausible = packed.is_plausible and max(n, batch.last_offset_delta + 1) <= RECORDS_MAX
    return packed if is_plausible else None
