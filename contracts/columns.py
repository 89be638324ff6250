"""Codec of numeric columns: little-endian bytes, as wide as the largest number needs."""

from typing import Any, Final

import msgspec
import numpy as np

from contracts.messages import Floats, Ints

_WIDTHS: Final = (1, 2, 4, 8)
_GREATEST_WHOLE: Final = 2**53
"""From this size on, floats do not represent all integers exactly."""


class Numbers(msgspec.Struct, frozen=True, gc=False):
    """A column of integers if all numbers are whole, otherwise of 8-byte floats."""

    is_whole: bool
    column: bytes


def pack_numbers(numbers: Floats) -> Numbers:
    """Pack a column of floats, as integers if all are whole."""
    whole = integers(numbers)
    if whole is None:
        return Numbers(is_whole=False, column=numbers.astype("<f8").tobytes())
    return Numbers(is_whole=True, column=narrowed(whole, "i"))


def unpack_numbers(name: str, packed: Numbers, n: int) -> Floats:
    """Return a column of n floats.

    Raises:
        ValueError: as `widened`; its text contains `name`.
    """
    numbers: Floats = widened(name, packed.column, n, "i" if packed.is_whole else "f", np.float64)
    return numbers


def integers(numbers: Floats) -> Ints | None:
    """Return floats as integers, (n,), None if one of them is not a whole number below 2^53.

    >>> integers(np.array([1.0, -3.0]))
    array([ 1, -3])
    >>> integers(np.array([1.0, 2.0**70]))
    """
    if (
        not numbers.max(initial=0) < _GREATEST_WHOLE
        or not numbers.min(initial=0) > -_GREATEST_WHOLE
    ):
        return None
    whole = numbers.astype(np.int64)
    return whole if np.array_equal(whole, numbers) else None


def narrowed(column: Ints, kind: str = "u") -> bytes:
    """Return the bytes of integers in the smallest width that holds them all.

    Args:
        column: 0 or more if the kind is "u", any if it is "i".
        kind: NumPy's letter.

    >>> [len(narrowed(np.array([1, greatest]))) for greatest in (255, 256, 2**32)]
    [2, 4, 16]
    """
    low, high = int(column.min(initial=0)), int(column.max(initial=0))
    reach = max(high, -low - 1) << 1 if kind == "i" else high
    width = next(w for w in _WIDTHS if reach < 1 << 8 * w)
    return column.astype(f"<{kind}{width}").tobytes()


def widened(name: str, column: bytes, n: int, kind: str = "u", dtype: Any = np.int64) -> Any:
    """Return a column of n 64-bit numbers.

    Raises:
        ValueError: the number of bytes does not fit n numbers of one width.
    """
    width = len(column) // n if n else _WIDTHS[0]
    if len(column) != n * width or width not in (_WIDTHS[-1:] if kind == "f" else _WIDTHS):
        raise ValueError(f"column {name} has {len(column)} bytes for {n} rows")
    return np.frombuffer(column, f"<{kind}{width}").astype(dtype)
