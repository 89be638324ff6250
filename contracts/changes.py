"""The messages on `cooccurrences`: changes to the Gram matrix, bytes to columns and back.

An event of a user with h items makes 2h + 1 rows, so these are most of what the workers send to
each other: a column is the bytes of its numbers, little-endian, as wide as the greatest needs.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta

from contracts.messages import Floats, Ints

_WIDTHS: Final = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes to the rows of the Gram matrix that one partition of `cooccurrences` keeps.

    Row k, 0 <= k < n, says: add `delta[k]` to G[i[k], j[k]], because of the event at `offset[k]` of
    the source partition of `interactions`. No offset's rows are split over two messages to the same
    partition.
    """

    source: int
    """partition of `interactions` that the events stand in"""
    incarnation: int
    """of that partition's log"""
    lineage: int
    """of the histories that they were computed from, see `keyspace.LINEAGE_FIELD`"""
    offset: Ints
    i: Ints
    j: Ints
    delta: Floats

    def __len__(self) -> int:
        return len(self.offset)


Count = Annotated[int, Meta(ge=0)]


class _Packed(msgspec.Struct, frozen=True, gc=False):
    source: Count
    incarnation: Count
    lineage: Count
    rows: Count
    first_offset: Count
    """the column of offsets counts from here"""
    offset: bytes
    i: bytes
    j: bytes
    delta: bytes
    is_whole: bool
    """the column of deltas holds integers, else 8-byte floats"""


_packed = msgspec.msgpack.Decoder(_Packed)


def encode_changes(changes: Changes) -> bytes:
    """Return the record value of changes."""
    first_offset = int(changes.offset.min(initial=np.iinfo(np.int64).max)) if len(changes) else 0
    whole = np.rint(changes.delta)
    is_whole = np.array_equal(whole, changes.delta) and bool((np.abs(whole) < 2**53).all())
    return msgspec.msgpack.encode(
        _Packed(
            source=changes.source,
            incarnation=changes.incarnation,
            lineage=changes.lineage,
            rows=len(changes),
            first_offset=first_offset,
            offset=_narrowed(changes.offset - first_offset),
            i=_narrowed(changes.i),
            j=_narrowed(changes.j),
            delta=_narrowed(whole.astype(np.int64))
            if is_whole
            else changes.delta.astype("<f8").tobytes(),
            is_whole=is_whole,
        )
    )


def decode_changes(value: bytes | None) -> Changes:
    """Decode a record value of `cooccurrences`.

    Raises:
        ValueError: it is no such message, or a column's length is not its rows'.
    """
    if value is None:
        raise ValueError("the record has no value")
    packed = _packed.decode(value)
    n = packed.rows
    return Changes(
        source=packed.source,
        incarnation=packed.incarnation,
        lineage=packed.lineage,
        offset=_widened("offset", packed.offset, n) + packed.first_offset,
        i=_widened("i", packed.i, n),
        j=_widened("j", packed.j, n),
        delta=_widened("delta", packed.delta, n, kind="i" if packed.is_whole else "f"),
    )


def _narrowed(column: Ints) -> bytes:
    """Return the bytes of integers of the least width that holds them all.

    >>> [len(_narrowed(np.array([1, greatest]))) for greatest in (127, 128, 2**31)]
    [2, 4, 16]
    """
    furthest = max(-int(column.min(initial=0)) - 1, int(column.max(initial=0)))
    width = next(w for w in _WIDTHS if furthest < 1 << 8 * w - 1)
    return column.astype(f"<i{width}").tobytes()


def _widened(name: str, column: bytes, n: int, kind: str = "i") -> Any:
    """Return a column of n numbers of 64 bits, integers, or floats as deltas are.

    Raises:
        ValueError: it has another number of bytes than n numbers of one width.
    """
    width = len(column) // n if n else _WIDTHS[0]
    if len(column) != n * width or width not in (_WIDTHS if kind == "i" else _WIDTHS[-1:]):
        raise ValueError(f"column {name} has {len(column)} bytes for {n} rows")
    dtype = np.float64 if name == "delta" else np.int64
    return np.frombuffer(column, f"<{kind}{width}").astype(dtype)
