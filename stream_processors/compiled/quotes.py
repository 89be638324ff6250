"""Parses quotes that are written the ordinary way, straight from bytes to columns.

Ordinary means: an object of the known fields, in any order, each at most once; digits with at most
one point, 15 at most; at most one space after a colon and a comma; and values that every deployment
accepts. Every other value is left to msgspec, which alone decides what is valid and says why not.

With at most 15 digits, mantissa and power of ten are exact doubles, so their quotient is the
correctly rounded number (Clinger, How to read floating point numbers accurately, PLDI 1990): the
same bits as msgspec's.
"""

from typing import Any, Final

import numpy as np

from contracts.batches import OrdinaryQuotes, Spans
from contracts.times import MAX_TS_MS
from stream_processors.compiled.frames import Int
from stream_processors.compiled.numba_types import (
    BOOLS,
    BYTES,
    FLOATS,
    INTS,
    VOID,
    as_bytes,
    compiled,
    inlined,
)

_DIGITS: Final = 15
_POWERS: Final = 10.0 ** np.arange(_DIGITS + 1)
_INSTRUMENT_ID, _PRICE, _SIZE, _TS = range(4)
_REQUIRED: Final = 1 << _INSTRUMENT_ID | 1 << _PRICE | 1 << _TS
_NAMES: Final = tuple(
    np.frombuffer(b'%s":' % name, np.uint8) for name in (b"instrument_id", b"price", b"size", b"ts")
)
_OF_INSTRUMENT_ID, _OF_PRICE, _OF_SIZE, _OF_TS = _NAMES
_QUOTE, _COMMA, _OPEN, _CLOSE, _SPACE, _ZERO, _POINT = b'",{} 0.'


def read(values: Spans) -> OrdinaryQuotes:
    """Parse the ordinary quotes among record values."""
    n = len(values)
    columns = OrdinaryQuotes(
        np.empty(n, np.int64),
        np.empty(n, np.float64),
        np.zeros(n, np.float64),
        np.empty(n, np.int64),
        np.zeros(n, np.bool_),
    )
    if len(values.data):
        _read(as_bytes(values.data), values.start, values.length, *columns)
    return columns


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
    if _is_at(data, at, end, _OF_INSTRUMENT_ID):
        return _INSTRUMENT_ID, at + len(_OF_INSTRUMENT_ID)
    if _is_at(data, at, end, _OF_PRICE):
        return _PRICE, at + len(_OF_PRICE)
    if _is_at(data, at, end, _OF_SIZE):
        return _SIZE, at + len(_OF_SIZE)
    if _is_at(data, at, end, _OF_TS):
        return _TS, at + len(_OF_TS)
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
def _quote_in(data: Any, at: Int, end: Int) -> tuple[bool, Int, float, float, Int]:
    """Return whether an ordinary quote is here, and its id, price, size and event time."""
    instrument_id, price, size, ts_ms = np.int64(0), 0.0, 0.0, np.int64(0)
    seen, mark = 0, _COMMA
    while mark == _COMMA and at < end and data[at] == _QUOTE:
        field, at = _field_at(data, at + 1, end)
        if field < 0 or seen >> field & 1:
            break
        seen |= 1 << field
        digits, places, at = _number_at(data, at + _spaces_at(data, at, end), end)
        if places < -1 or at == end or (places >= 0 and field in (_INSTRUMENT_ID, _TS)):
            break
        if field == _TS:
            ts_ms = digits
        elif field == _INSTRUMENT_ID:
            instrument_id = digits
        elif field == _PRICE:
            price = digits / _POWERS[max(places, 0)]
        else:
            size = digits / _POWERS[max(places, 0)]
        mark = data[at]
        at += 1
        if mark == _COMMA:
            at += _spaces_at(data, at, end)
    is_whole = mark == _CLOSE and at == end and seen & _REQUIRED == _REQUIRED
    is_ordinary = bool(is_whole and price > 0 and ts_ms <= MAX_TS_MS)
    return is_ordinary, instrument_id, price, size, ts_ms


@compiled(VOID, BYTES, INTS, INTS, INTS, FLOATS, FLOATS, INTS, BOOLS)
def _read(
    data: Any,
    start: Any,
    length: Any,
    instrument_id: Any,
    price: Any,
    size: Any,
    ts_ms: Any,
    is_ordinary: Any,
) -> None:
    for row in range(len(start)):
        at, end = start[row], start[row] + length[row]
        if at < end and data[at] == _OPEN:
            is_ordinary[row], instrument_id[row], price[row], size[row], ts_ms[row] = _quote_in(
                data, at + 1, end
            )
