"""Filters out changes that are already applied: pure."""

from collections.abc import Iterator, Mapping

import numpy as np

from contracts.changes import Blocks, Changes, TakenOut
from contracts.log_position import NOTHING, LogPosition, mark
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


def applied_in(lineage: int, before: Applied, incarnation: int) -> Applied:
    """Return which changes of a lineage's histories are already applied.

    Lost histories are rebuilt, with incarnation 0, from the beginning of the same log: its events
    are the same up to the last one that was applied.

    Args:
        lineage: of the histories that are in Redis.
        before: the last applied change.
        incarnation: of the log that these histories are at.

    >>> applied_in(9, Applied(mark(1, 50), lineage=7), 0) == Applied(mark(0, 50), lineage=9)
    True
    """
    last = LogPosition.of(before.mark)
    # Incarnations never decrease within a lineage.
    is_same = before.lineage in (None, lineage) and last.incarnation <= incarnation
    return Applied(before.mark if is_same else mark(0, last.offset), lineage)


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
