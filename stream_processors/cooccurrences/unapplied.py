"""Which changes were applied before: pure."""

from collections.abc import Iterator, Mapping

import numpy as np

from contracts.changes import Blocks, Changes, TakenOut
from stream_processors.store.marks import NOTHING, mark


def unapplied(changes: Changes, applied: Mapping[int, int]) -> tuple[Changes, dict[int, int]]:
    """Return the changes of events that were not applied before, and what is applied with them.

    Args:
        changes: one message.
        applied: source partition -> mark of the last event that was applied.
    """
    base = mark(changes.incarnation, 0)
    after = applied.get(changes.source, NOTHING) - base
    last = max(_offsets(changes), default=NOTHING)
    if last <= after:
        return _with(changes, Blocks.none(), Blocks.none(), ()), dict(applied)
    fresh = _with(
        changes,
        _after(changes.own, after),
        _after(changes.mirrored, after),
        [one for one in changes.taken_out if one.offset > after],
    )
    return fresh, {**applied, changes.source: base + last}


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
