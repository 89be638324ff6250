"""Filters out changes that are already applied: pure."""

from collections.abc import Iterator, Mapping

import numpy as np

from contracts.changes import Blocks, Changes, TakenOut
from contracts.log_position import NOTHING, mark
from stream_processors.cooccurrences.applied import Applied


def unapplied(
    changes: Changes, applied: Mapping[int, Applied]
) -> tuple[Changes, dict[int, Applied]]:
    """Return the unapplied changes, and what is applied once they are.

    Args:
        changes: one message.
        applied: by source partition, of the same lineage.
    """
    base = mark(changes.incarnation, 0)
    before = applied.get(changes.source)
    after = (before.mark if before else NOTHING) - base
    last = max(_offsets(changes), default=NOTHING)
    if last <= after:
        return _with(changes, Blocks.none(), Blocks.none(), ()), dict(applied)
    fresh = _with(
        changes,
        _after(changes.own, after),
        _after(changes.mirrored, after),
        [one for one in changes.taken_out if one.offset > after],
    )
    return fresh, {**applied, changes.source: Applied(base + last, changes.lineage)}


def _offsets(changes: Changes) -> Iterator[int]:
    """Yield the last offset of each kind of change."""
    for blocks in (changes.own, changes.mirrored):
        if len(blocks.offset):
            yield int(blocks.offset.max())
    for one in changes.taken_out:
        yield one.offset


def _after(blocks: Blocks, offset: int) -> Blocks:
    """Return the blocks beyond an offset."""
    is_fresh = blocks.offset > offset
    if is_fresh.all():
        return blocks
    its_rows = np.repeat(is_fresh, blocks.rows)
    return Blocks(
        blocks.offset[is_fresh],
        blocks.item[is_fresh],
        blocks.rows[is_fresh],
        blocks.other[its_rows],
        blocks.delta[its_rows],
        blocks.holders_where(is_fresh),
    )


def _with(
    changes: Changes, own: Blocks, mirrored: Blocks, taken_out: "list[TakenOut] | tuple[()]"
) -> Changes:
    return Changes(changes.source, changes.incarnation, changes.lineage, own, mirrored, taken_out)
