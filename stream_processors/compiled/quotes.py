"""Parses quotes that are written the ordinary way, straight from bytes to columns.

Ordinary means: an object of the known fields, in any order, each at most once; digits with at most
one point, 15 at most; at most one space after a colon and a comma; and values that every deployment
accepts. Every other value is left to msgspec, which alone decides what is valid and says why not.

With at most 15 digits, mantissa and power of ten are exact doubles, so their quotient is the
correctly rounded number (Clinger, How to read floating point numbers accurately, PLDI 1990): the
same bits as msgspec's.
"""

from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from contracts.batches import QuoteColumns, Spans
from contracts.messages import QUOTE_COLUMNS
from contracts.times import MAX_TS_MS
from stream_processors.compiled.frames import Int
from stream_processors.compiled.numba_types import (
    AMOUNTS,
    BOOLS,
    BYTES,
    INTS,
    VOID,
    as_bytes,
    compiled,
    inlined,
)

_DIGITS: Final = 15
_POWERS: Final = 10.0 ** np.arange(_DIGITS + 1)
_FIELDS: Final = sorted(QUOTE_COLUMNS, key=lambda column: column.kind is float)
"""Two integers, then the amounts."""
_INSTRUMENT_ID, _TS, _FIRST_AMOUNT = range(3)
_REQUIRED: Final = sum(1 << n for n, field in enumerate(_FIELDS) if field.is_required)
_MAY_BE_0: Final = sum(1 << n for n, field in enumerate(_FIELDS) if field.bounds.ge == 0)
"""The other bounds of amounts are beyond what so many digits can say."""
_NAMES: Final = tuple(np.frombuffer(f'{field.name}":'.encode(), np.uint8) for field in _FIELDS)
_QUOTE, _COMMA, _OPEN, _CLOSE, _SPACE, _ZERO, _POINT = b'",{} 0.'


def read(values: Spans) -> tuple[QuoteColumns, npt.NDArray[np.bool_]]:
    """Parse the ordinary quotes among record values; return which ones are, as well, (n,)."""
    n = len(values)
    instrument_id, ts_ms = np.empty(n, np.int64), np.empty(n, np.int64)
    amounts = np.zeros((len(_FIELDS) - _FIRST_AMOUNT, n), np.float64)
    is_ordinary = np.zeros(n, np.bool_)
    if len(values.data):
        data = as_bytes(values.data)
        _read(data, values.start, values.length, instrument_id, ts_ms, amounts, is_ordinary)
    columns = zip(_FIELDS, [instrument_id, ts_ms, *amounts], strict=True)
    return QuoteColumns(np.arange(n), {field.name: of for field, of in columns}), is_ordinary


@inlined
def _is_at(data: Any, at: Int, end: Int, expected: Any) -> bool:
    if end - at < len(expected):
        return False
    for place in range(len(expected)):  # noqa: SIM110 (numba has no `all` of a generator)
        if data[at + place] != expected[place]:
            return False
    return True


@inlined
def _field_at(data: Any, at: Int, end: Int) -> tuple[Int, Int]:
    """Return the field whose name, quote and colon are here, and where they end; -1 for none."""
    for field in range(len(_NAMES)):
        if _is_at(data, at, end, _NAMES[field]):
            return field, at + len(_NAMES[field])
    return -1, at


@inlined
def _spaces_at(data: Any, at: Int, end: Int) -> Int:
    return 1 if at < end and data[at] == _SPACE else 0


@inlined
def _number_at(data: Any, at: Int, end: Int) -> tuple[Int, Int, Int]:
    """Return a number's digits as an integer, the count of those after the point, and its end.

    The count is -1 without a point, -2 if this is no ordinary number.
    """
    first, point, digits = at, -1, np.int64(0)
    while at < end:
        digit = np.int64(data[at]) - _ZERO
        if 0 <= digit <= 9:
            digits = digits * 10 + digit
        elif digit == _POINT - _ZERO and point < 0:
            point = at
        else:
            break
        at += 1
    n, places = at - first, -1
    if point >= 0:
        n, places = n - 1, at - point - 1
        if places == 0 or point == first:
            return digits, -2, at
    if n < 1 or n > _DIGITS or (data[first] == _ZERO and n - max(places, 0) > 1):
        return digits, -2, at
    return digits, places, at


@inlined
def _quote_in(data: Any, at: Int, end: Int, amounts: Any, row: Int) -> tuple[bool, Int, Int]:
    """Return whether an ordinary quote is here, its id and event time; write its amounts."""
    instrument_id, ts_ms = np.int64(0), np.int64(0)
    seen, mark = 0, _COMMA
    while mark == _COMMA and at < end and data[at] == _QUOTE:
        field, at = _field_at(data, at + 1, end)
        if field < 0 or seen >> field & 1:
            break
        seen |= 1 << field
        digits, places, at = _number_at(data, at + _spaces_at(data, at, end), end)
        if places < -1 or at == end or (places >= 0 and field < _FIRST_AMOUNT):
            break
        if field == _TS:
            ts_ms = digits
        elif field == _INSTRUMENT_ID:
            instrument_id = digits
        else:
            if digits == 0 and not _MAY_BE_0 >> field & 1:
                break
            amounts[field - _FIRST_AMOUNT, row] = digits / _POWERS[max(places, 0)]
        mark = data[at]
        at += 1
        if mark == _COMMA:
            at += _spaces_at(data, at, end)
    is_whole = mark == _CLOSE and at == end and seen & _REQUIRED == _REQUIRED
    return bool(is_whole and ts_ms <= MAX_TS_MS), instrument_id, ts_ms


def _read(
    data: Any,
    start: Any,
    length: Any,
    instrument_id: Any,
    ts_ms: Any,
    amounts: Any,
    is_ordinary: Any,
) -> None:
    for row in range(len(start)):
        at, end = start[row], start[row] + length[row]
        if at < end and data[at] == _OPEN:
            is_ordinary[row], instrument_id[row], ts_ms[row] = _quote_in(
                data, at + 1, end, amounts, row
            )


# numba keeps code by the function's name, and does not see that the table is compiled into it.
_read.__qualname__ += f"_{crc32(repr(QUOTE_COLUMNS).encode())}"
_read = compiled(VOID, BYTES, INTS, INTS, INTS, INTS, AMOUNTS, BOOLS)(_read)
