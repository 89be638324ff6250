"""Finds and judges the records in the bytes of Kafka batches, as machine code or as Python.

A record's frame, in format 2 (https://kafka.apache.org/documentation/#record): its length, then
attributes, deltas of timestamp and offset, key, value, and headers, with lengths as zigzag varints.
As in Kafka's Java client and librdkafka, the attributes are one byte whose bits mean nothing yet,
and any negative length is that of an absent key or value.

Every number fits into 64 bits, and nothing outside the given bytes is read.
"""

from typing import Any, Final, NamedTuple, TypeAlias

from contracts.batches import ABSENT

Int: TypeAlias = Any
"""A 64-bit integer: numba has no other, while to mypy `int` and `np.int64` differ."""

FRAME, HEADERS, NAME, OFFSET, REST = range(5)
"""Fields that exceed their record; headers that do not end with it; a header's name that is not
UTF-8; an offset outside the batch or not ascending; what is left of a batch, if it is no record."""


class Fault(NamedTuple):
    """What is wrong with a record, or with the rest of its batch."""

    batch: int
    """its number"""
    place: int
    """the offset delta that the record before it implies"""
    why: int
    """`FRAME` to `REST`"""
    start: int
    end: int
    left: int
    """records that follow in the batch, or that are in the rest"""
    delta: int
    """its own offset delta"""
    key_at: int
    key_length: int
    value_at: int
    value_length: int


_MALFORMED: Final = -1
_NO_TEXT: Final = -2
_CONTINUED: Final = 128
"""The bit of a varint's byte that is not its last, and of a character's byte beyond ASCII."""


def _varint_at(data: Any, at: Int, end: Int) -> tuple[Int, Int]:
    """Return a zigzag varint, and where it ends; that is -1 if it is cut or too long."""
    if at < end and data[at] < _CONTINUED:  # the usual one
        return (data[at] >> 1) ^ -(data[at] & 1), at + 1
    found = shift = 0
    while at < end and shift < 63:
        byte = data[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < _CONTINUED:
            return (found >> 1) ^ -(found & 1), at
        shift += 7
    if at < end and data[at] < _CONTINUED:  # the tenth has the highest bit
        return (found >> 1 | (data[at] & 1) << 62) ^ -(found & 1), at + 1
    return 0, _MALFORMED


def _span_at(data: Any, at: Int, end: Int) -> tuple[Int, Int, Int]:
    """Return where bytes that follow their length start, the length, and where they end.

    The end is -1 if they are cut.
    """
    if at < end and data[at] & 129 == 0:  # a short length, the usual one
        length = (data[at] & 126) >> 1
        at += 1
    else:
        length, at = _varint_at(data, at, end)
    if at < 0 or length > end - at:
        return at, length, _MALFORMED
    if length < 0:
        return at, ABSENT, at
    return at, length, at + length


def _is_text(data: Any, at: Int, end: Int) -> bool:
    """Return whether bytes are UTF-8 (The Unicode Standard, table 3-7)."""
    while at < end:
        first = data[at]
        at += 1
        if first < _CONTINUED:
            continue
        more = 1 if first < 0xE0 else 2 if first < 0xF0 else 3
        if first < 0xC2 or first > 0xF4 or more > end - at:
            return False
        low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
        high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
        for _ in range(more):
            if data[at] < low or data[at] > high:
                return False
            low, high = 0x80, 0xBF
            at += 1
    return True


def _headers_at(data: Any, at: Int, end: Int) -> tuple[Int, Int, Int]:
    """Return where headers that follow their number start, the number, and where they end.

    The end is -1 if they are cut, -2 if a name is not UTF-8.
    """
    if at < end and data[at] == 0:
        return at + 1, 0, at + 1
    n, at = _varint_at(data, at, end)
    start = at
    if at < 0 or n < 0 or n > end - at:
        return start, n, _MALFORMED
    is_text = True
    for _ in range(n):
        name_at, length, at = _span_at(data, at, end)
        if at < 0 or length < 0:
            return start, n, _MALFORMED
        is_text = is_text and _is_text(data, name_at, at)
        _, _, at = _span_at(data, at, end)
        if at < 0:
            return start, n, _MALFORMED
    return start, n, at if is_text or at != end else _NO_TEXT


def _why(why: Int, at: Int, record_end: Int) -> Int:
    """Return the fault of a record, given that of its fields before the headers."""
    if why == FRAME or at == record_end:
        return why
    return NAME if at == _NO_TEXT else HEADERS


def _note(faults: Any, row: Int, values: Any) -> None:
    for column in range(len(values)):
        faults[row, column] = values[column]


INLINED: Final = (_varint_at, _span_at, _is_text, _headers_at, _why, _note)


def read(
    data: Any,
    length: Any,
    n: Any,
    base_offset: Any,
    last_offset_delta: Any,
    appended_at: Any,
    rows: Any,
    faults: Any,
    offset: Any,
    stamp: Any,
    key_at: Any,
    key_length: Any,
    value_at: Any,
    value_length: Any,
    headers_at: Any,
    headers: Any,
) -> Int:
    """Find the records of b batches, which follow each other.

    A record's offset is good if the batch has room for those before and after it: of a batch whose
    records have no gaps, only the one with each place's own. A bad record takes one offset.

    Given are the batches' bytes without headers, and of each batch, (b,): its length in bytes, the
    number of its records, as many as fit into its offsets at most, its offsets, and `appended_at`
    as in `Columns`. `rows`, (b,), gets the number of good records up to the end of each batch;
    `faults`, (m, 11), the fields of a `Fault` for each; and the columns after it, (r,), the good
    records. Returns the number of faults.
    """
    row: Int = 0
    fault: Int = 0
    end: Int = 0
    for batch in range(len(n)):
        at, end = end, end + length[batch]
        left, place = n[batch], 0
        while left > 0:
            start = at
            size, at = _varint_at(data, at, end)
            if at < 0 or size <= 0 or size > end - at:
                at = start
                break
            record_end = at + size
            left -= 1
            why, delta = FRAME, -1
            _, at = _varint_at(data, at + 1, record_end)
            if at >= 0:
                delta, at = _varint_at(data, at, record_end)
            if at >= 0:
                key_at[row], key_length[row], at = _span_at(data, at, record_end)
            if at >= 0:
                value_at[row], value_length[row], at = _span_at(data, at, record_end)
            if at >= 0:
                why = OFFSET
                headers_at[row], headers[row], at = _headers_at(data, at, record_end)
            if at == record_end and place <= delta <= last_offset_delta[batch] - left:
                offset[row] = base_offset[batch] + delta
                stamp[row] = appended_at[batch]
                row += 1
                place = delta + 1
                continue
            why = _why(why, at, record_end)
            its = key_at[row], key_length[row], value_at[row], value_length[row]
            _note(faults, fault, (batch, place, why, start, record_end, left, delta, *its))
            fault += 1
            place += 1
            at = record_end
        if left > 0 or at < end:
            place = min(place, last_offset_delta[batch])
            _note(faults, fault, (batch, place, REST, at, end, left, 0, 0, ABSENT, 0, ABSENT))
            fault += 1
        rows[batch] = row
    return fault


def interpreted(data: bytes, batches: Any, rows: Any, faults: Any, columns: Any) -> int:
    """Call `read` in Python, which is fast on bytes, lists and memory views only."""
    views: list[Any] = [memoryview(one) for one in (rows, faults, *columns)]
    return int(read(data, *batches.tolist(), *views))
