"""The messages on `cooccurrences`, changes to the Gram matrix: codec between bytes and columns.

They are most of the traffic between workers. Values shared by the entries of an event are stored
once; columns are as narrow as `contracts.columns` makes them.
"""

from dataclasses import replace
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta

from contracts.changes import Blocks, Changes, TakenOut
from contracts.columns import Numbers, narrowed, pack_numbers, unpack_numbers, widened
from contracts.log_position import MAX_INCARNATION, MAX_OFFSET
from contracts.messages import decode_alone
from contracts.pairs import are_in_row

VERSION: Final = 3
"""The latest that `decode_changes` reads. Earlier ones have each pair of items twice, in the row of
one item and in that of the other; so a worker that expects this must not read version 3. Version 1
has no `Blocks.holders`; version 0 has no number, and a row, column and delta for each entry."""
_ONCE_SINCE: Final = 3

EVENT_BYTES: Final = 3 * 8 + 1
ROW_BYTES: Final = 2 * 8
"""The maximum size of an event and of a row; `TakenOut` has two rows per item."""


class UnknownVersionError(RuntimeError):
    """The message has a later version than this program reads."""


Count = Annotated[int, Meta(ge=0)]
Offset = Annotated[int, Meta(ge=0, le=MAX_OFFSET)]
Incarnation = Annotated[int, Meta(ge=0, le=MAX_INCARNATION)]


class _Version(msgspec.Struct, frozen=True, gc=False):
    version: Count = 0


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


class _PackedVersion0(msgspec.Struct, frozen=True, gc=False):
    source: Count
    incarnation: Incarnation
    lineage: Count
    rows: Count
    first_offset: Offset
    offset: bytes
    i: bytes
    j: bytes
    delta: bytes
    is_whole: bool


_encode = msgspec.msgpack.Encoder().encode
_version = msgspec.msgpack.Decoder(_Version)
_packed = msgspec.msgpack.Decoder(_Packed)
_packed_version_0 = msgspec.msgpack.Decoder(_PackedVersion0)


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
        UnknownVersionError: a later version of this program wrote it.
    """
    if value is None:
        raise ValueError("the record has no value")
    version = decode_alone(_version.decode, value).version
    if version > VERSION:
        raise UnknownVersionError(
            f"a message on cooccurrences has version {version}, this worker reads up to {VERSION}: "
            "upgrade this worker"
        )
    changes = _unpack(decode_alone(_packed.decode, value)) if version else _unpack_version_0(value)
    _check(changes.own)
    _check(changes.mirrored)
    return _once(changes) if version < _ONCE_SINCE else changes


def _check(blocks: Blocks) -> None:
    """Check what the columns' types do not ensure, as 64-bit numbers may overflow.

    Raises:
        ValueError: an offset or an item is out of range, or a change is not finite.
    """
    least = min(column.min(initial=0) for column in (blocks.offset, blocks.item, blocks.other))
    if least < 0 or blocks.offset.max(initial=0) > MAX_OFFSET:
        raise ValueError("an offset or an item is out of range")
    if not np.isfinite(blocks.delta).all():
        raise ValueError("a change is not finite")


def _once(changes: Changes) -> Changes:
    """Return the entries in the rows where pairs are kept, of changes that have each twice."""
    own, mirrored = changes.own, changes.mirrored
    return replace(
        changes,
        own=own.entries_where(are_in_row(own.items(), own.other)),
        mirrored=mirrored.entries_where(are_in_row(mirrored.other, mirrored.items())),
    )


def _unpack(packed: _Packed) -> Changes:
    return Changes(
        source=packed.source,
        incarnation=packed.incarnation,
        lineage=packed.lineage,
        own=_unpack_blocks("own", packed.own, packed.first_offset),
        mirrored=_unpack_blocks("mirrored", packed.mirrored, packed.first_offset),
        taken_out=[_unpack_taken_out(one) for one in packed.taken_out],
    )


def _unpack_version_0(value: bytes) -> Changes:
    """Return the changes of a message with offset, row, column and delta for each entry."""
    packed = decode_alone(_packed_version_0.decode, value)
    n = packed.rows
    blocks = Blocks(
        offset=widened("offset", packed.offset, n, "i") + packed.first_offset,
        item=widened("i", packed.i, n, "i"),
        rows=np.ones(min(n, len(packed.i)), np.int64),
        other=widened("j", packed.j, n, "i"),
        delta=unpack_numbers("delta", Numbers(packed.is_whole, packed.delta), n),
    )
    return Changes(packed.source, packed.incarnation, packed.lineage, blocks, Blocks.none())


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
