"""The messages on `cooccurrences`, changes to the Gram matrix: columns, and their wire format.

An event of a user with h other items changes h + 1 entries of G, each in the row that
`contracts.partitioning` says. The changes are most of the traffic between workers. Values shared by
the entries of an event are stored once; columns are as narrow as `contracts.columns` makes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from contracts.columns import Numbers, narrowed, pack_numbers, unpack_numbers, widened
from contracts.log_position import MAX_INCARNATION, MAX_OFFSET
from contracts.messages import Floats, Ints, decode_alone

Chosen = slice | Ints | npt.NDArray[np.bool_]
"""A selection of events, as a NumPy index."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """The changes of m events: each changes some entries in one row or column of G, n in total."""

    offset: Ints
    """(m,) of the event in the source partition, ascending"""
    item: Ints
    """(m,) the item whose row or column of G changes"""
    rows: Ints
    """(m,) number of the event's entries"""
    other: Ints
    """(n,) the column in that row, or the row in that column"""
    delta: Floats
    """(n,) the value to add"""
    holders: Ints | None = None
    """(m,) change of the number of users who have `item`: 1, 0 or -1; only in `Changes.own`. None:
    not given, as each affinity is 1, so that G[item, item] is that number"""

    def __len__(self) -> int:
        return len(self.other)

    def holders_where(self, chosen: Chosen) -> Ints | None:
        """Return `holders` of some of the events, None if it is not given."""
        return None if self.holders is None else self.holders[chosen]

    def entries_where(self, kept: npt.NDArray[np.bool_]) -> "Blocks":
        """Return some of the entries, (n,), without the events that have none of these."""
        event = np.repeat(np.arange(len(self.rows)), self.rows)
        rows = np.bincount(event[kept], minlength=len(self.rows))
        some = np.flatnonzero(rows)
        return Blocks(
            self.offset[some],
            self.item[some],
            rows[some],
            self.other[kept],
            self.delta[kept],
            self.holders_where(some),
        )

    @classmethod
    def none(cls) -> "Blocks":
        """Return no changes."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, nothing, nothing, np.empty(0))


@dataclass(frozen=True, slots=True)
class TakenOut:
    """The removal of a user with k items here and h in total.

    Subtract `r_i[k] * r_j[h]` from G, where row i has the pair.
    """

    offset: int
    i: Ints
    """(k,) items whose rows this partition keeps"""
    r_i: Floats
    j: Ints
    """(h,) all items of the user"""
    r_j: Floats

    def __len__(self) -> int:
        """About how many entries that are; of all partitions together exactly, but for rounding."""
        return len(self.i) * (len(self.j) + 1) // 2


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes to the rows of the Gram matrix that one partition of `cooccurrences` keeps.

    All changes here of one offset of the source partition of `interactions` are in one message.
    """

    source: int
    """partition of `interactions` that contains the events"""
    incarnation: int
    """of that partition's log"""
    lineage: int
    """of the histories that the changes were computed from, see `keyspace.LINEAGE_FIELD`"""
    own: Blocks
    """add to G[item, other]"""
    mirrored: Blocks
    """add to G[other, item]"""
    taken_out: Sequence[TakenOut] = ()

    def __len__(self) -> int:
        return len(self.own) + len(self.mirrored) + sum(map(len, self.taken_out))


VERSION: Final = 1
"""The only one that `decode_changes` reads."""

EVENT_BYTES: Final = 3 * 8 + 1
ROW_BYTES: Final = 2 * 8
"""The maximum size of an event and of a row; `TakenOut` has two rows per item."""


class UnknownVersionError(RuntimeError):
    """The message has another version than this program reads."""


Count = Annotated[int, Meta(ge=0)]
Offset = Annotated[int, Meta(ge=0, le=MAX_OFFSET)]
Incarnation = Annotated[int, Meta(ge=0, le=MAX_INCARNATION)]


class _Version(msgspec.Struct, frozen=True, gc=False):
    version: int


class _Blocks(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    events: Count
    n: Count
    offset: bytes
    """relative to the message's first offset"""
    item: bytes
    rows: bytes
    other: bytes
    delta: Numbers
    holders: bytes | None = None


class _TakenOut(msgspec.Struct, frozen=True, gc=False):
    offset: Offset
    k: Count
    h: Count
    i: bytes
    r_i: Numbers
    j: bytes
    r_j: Numbers


class _Packed(msgspec.Struct, frozen=True, gc=False):
    version: int
    source: Count
    incarnation: Incarnation
    lineage: Count
    first_offset: Offset
    own: _Blocks
    mirrored: _Blocks
    taken_out: list[_TakenOut]


_encode = msgspec.msgpack.Encoder().encode
_version = msgspec.msgpack.Decoder(_Version)
_packed = msgspec.msgpack.Decoder(_Packed)


def encode_changes(changes: Changes) -> bytes:
    """Return the record value of changes."""
    blocks = (changes.own, changes.mirrored)
    first_offset = min((int(some.offset[0]) for some in blocks if len(some.offset)), default=0)
    return _encode(
        _Packed(
            version=VERSION,
            source=changes.source,
            incarnation=changes.incarnation,
            lineage=changes.lineage,
            first_offset=first_offset,
            own=_pack_blocks(changes.own, first_offset),
            mirrored=_pack_blocks(changes.mirrored, first_offset),
            taken_out=[_pack_taken_out(one) for one in changes.taken_out],
        )
    )


def decode_changes(value: bytes | None) -> Changes:
    """Decode a record value of `cooccurrences`.

    Raises:
        ValueError: it is not such a message, or a column has the wrong length.
        UnknownVersionError: it has another version: skipped, it would be missing in the counts.
    """
    if value is None:
        raise ValueError("the record has no value")
    version = decode_alone(_version, value).version
    if version != VERSION:
        raise UnknownVersionError(
            f"a message on cooccurrences has version {version}, and this worker reads only version "
            f"{VERSION}: run the version of Tickrec that published it"
        )
    changes = _unpack(decode_alone(_packed, value))
    _check(changes)
    return changes


def _check(changes: Changes) -> None:
    """Check what the columns' types do not ensure, as 64-bit numbers may overflow.

    Raises:
        ValueError: a number is out of range, or not finite.
    """
    blocks, users = (changes.own, changes.mirrored), changes.taken_out
    numbers = [column for its in blocks for column in (its.offset, its.item, its.other)]
    numbers += [column for user in users for column in (user.i, user.j)]
    is_late = any(its.offset.max(initial=0) > MAX_OFFSET for its in blocks)
    if is_late or any(column.min(initial=0) < 0 for column in numbers):
        raise ValueError("an offset or an item is out of range")
    if not all(np.isfinite(its.delta).all() for its in blocks):
        raise ValueError("a change is not finite")
    for r in (column for user in users for column in (user.r_i, user.r_j)):
        if not 0 <= r.min(initial=0) <= r.max(initial=0) <= 1e154:  # not NaN; products are finite
            raise ValueError("an affinity is out of range")


def _unpack(packed: _Packed) -> Changes:
    return Changes(
        source=packed.source,
        incarnation=packed.incarnation,
        lineage=packed.lineage,
        own=_unpack_blocks("own", packed.own, packed.first_offset),
        mirrored=_unpack_blocks("mirrored", packed.mirrored, packed.first_offset),
        taken_out=[_unpack_taken_out(one) for one in packed.taken_out],
    )


def _pack_blocks(blocks: Blocks, first_offset: int) -> _Blocks:
    return _Blocks(
        events=len(blocks.offset),
        n=len(blocks),
        offset=narrowed(blocks.offset - first_offset),
        item=narrowed(blocks.item),
        rows=narrowed(blocks.rows),
        other=narrowed(blocks.other),
        delta=pack_numbers(blocks.delta),
        holders=None if blocks.holders is None else narrowed(blocks.holders, "i"),
    )


def _unpack_blocks(name: str, packed: _Blocks, first_offset: int) -> Blocks:
    m, n = packed.events, packed.n
    rows = widened(f"{name}.rows", packed.rows, m)
    # The sum may have overflowed.
    if rows.min(initial=0) < 0 or rows.max(initial=0) > n or rows.sum() != n:
        raise ValueError(f"{name}: the events do not have {n} rows in total")
    return Blocks(
        offset=widened(f"{name}.offset", packed.offset, m) + first_offset,
        item=widened(f"{name}.item", packed.item, m),
        rows=rows,
        other=widened(f"{name}.other", packed.other, n),
        delta=unpack_numbers(f"{name}.delta", packed.delta, n),
        holders=(
            None if packed.holders is None else widened(f"{name}.holders", packed.holders, m, "i")
        ),
    )


def _pack_taken_out(one: TakenOut) -> _TakenOut:
    return _TakenOut(
        offset=one.offset,
        k=len(one.i),
        h=len(one.j),
        i=narrowed(one.i),
        r_i=pack_numbers(one.r_i),
        j=narrowed(one.j),
        r_j=pack_numbers(one.r_j),
    )


def _unpack_taken_out(packed: _TakenOut) -> TakenOut:
    return TakenOut(
        offset=packed.offset,
        i=widened("taken_out.i", packed.i, packed.k),
        r_i=unpack_numbers("taken_out.r_i", packed.r_i, packed.k),
        j=widened("taken_out.j", packed.j, packed.h),
        r_j=unpack_numbers("taken_out.r_j", packed.r_j, packed.h),
    )
