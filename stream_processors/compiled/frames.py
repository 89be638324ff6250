"""Finds the records in the bytes of Kafka batches, by compiled code.

A record's frame, in format 2 (https://kafka.apache.org/documentation/#record): its length, then
attributes, deltas of timestamp and offset, key, value, and headers, with lengths as zigzag varints.

What is not framed as every client does it is found to be so, and left to aiokafka and `salvage`:
lengths that exceed their record or its batch, offsets that do not ascend, header names beyond
ASCII. Nothing outside the given bytes is read.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from stream_processors.compiled.numba_types import (
    BOOL,
    BYTES,
    INTS,
    Int,
    as_bytes,
    compiled,
    inlined,
)
from stream_processors.records import PRODUCERS_STAMP, Columns, Packed, Records

_VARINT_BITS: Final = 63


def records_of(batches: Sequence[Packed]) -> Records | None:
    """Return the records of batches, which are plausible; None if one is not framed as usual."""
    data = b"".join(one.payload for one in batches)
    of_batches = np.array([(len(one.payload), *one[1:]) for one in batches], np.int64)
    length, n, base_offset, last_offset_delta, base_timestamp, appended_at = np.ascontiguousarray(
        of_batches.T
    )
    columns = Columns(*np.empty((len(Columns._fields), int(n.sum())), np.int64))
    is_usual = _read(
        as_bytes(data),
        length,
        n,
        base_offset,
        last_offset_delta,
        base_timestamp,
        appended_at,
        *columns,
    )
    return Records(data, columns) if is_usual else None


@inlined
def _varint_at(data: Any, at: Int, end: Int) -> tuple[Int, Int]:
    """Return a zigzag varint, and where it ends; that is -1 if it is cut or too long."""
    if at < end and data[at] < 128:  # the usual one
        value = np.int64(data[at])
        return (value >> 1) ^ -(value & 1), at + 1
    found, shift = np.uint64(0), np.uint64(0)
    while at < end and shift <= np.uint64(_VARINT_BITS):
        byte = np.uint64(data[at])
        at += 1
        found |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            value = np.int64(found >> np.uint64(1))
            return value ^ -np.int64(found & np.uint64(1)), at
        shift += np.uint64(7)
    return np.int64(0), -1


@inlined
def _span_at(data: Any, at: Int, end: Int) -> tuple[Int, Int, Int]:
    """Return where bytes that follow their length start, the length, and where they end.

    The length is -1 if there are none; the end is -1 if they are cut.
    """
    length, at = _varint_at(data, at, end)
    if at < 0 or length < -1 or length > end - at:
        return at, length, -1
    return at, length, at + max(length, 0)


@inlined
def _headers_at(data: Any, at: Int, end: Int) -> tuple[Int, Int, Int]:
    """Return where headers that follow their number start, the number, and where they end.

    The end is -1 if they are cut, or a name is not ASCII.
    """
    n, at = _varint_at(data, at, end)
    if at < 0 or n < 0 or n > end - at:
        return at, n, -1
    start = at
    for _ in range(n):
        name_at, length, at = _span_at(data, at, end)
        if at < 0 or length < 0:
            return start, n, -1
        for place in range(name_at, at):
            if data[place] >= 128:
                return start, n, -1
        _, _, at = _span_at(data, at, end)
        if at < 0:
            return start, n, -1
    return start, n, at


@compiled(BOOL, BYTES, *[INTS] * 15)
def _read(
    data: Any,
    length: Any,
    n: Any,
    base_offset: Any,
    last_offset_delta: Any,
    base_timestamp: Any,
    appended_at: Any,
    offset: Any,
    timestamp: Any,
    is_appended: Any,
    key_at: Any,
    key_length: Any,
    value_at: Any,
    value_length: Any,
    headers_at: Any,
    headers: Any,
) -> bool:
    row: Int = 0
    end: Int = 0
    for batch in range(len(n)):
        at, end = end, end + length[batch]
        previous = np.int64(-1)
        for _ in range(n[batch]):
            size, at = _varint_at(data, at, end)
            if at < 0 or size <= 0 or size > end - at:
                return False
            record_end = at + size
            delta, at = _varint_at(data, at + 1, record_end)
            if at < 0:
                return False
            place, at = _varint_at(data, at, record_end)
            if at < 0 or place <= previous or place > last_offset_delta[batch]:
                return False
            previous = place
            key_at[row], key_length[row], at = _span_at(data, at, record_end)
            if at < 0:
                return False
            value_at[row], value_length[row], at = _span_at(data, at, record_end)
            if at < 0:
                return False
            headers_at[row], headers[row], at = _headers_at(data, at, record_end)
            if at != record_end:
                return False
            offset[row] = base_offset[batch] + place
            stamp = appended_at[batch]
            is_appended[row] = stamp != PRODUCERS_STAMP
            timestamp[row] = base_timestamp[batch] + delta if stamp == PRODUCERS_STAMP else stamp
            row += 1
        if at != end:
            return False
    return True
