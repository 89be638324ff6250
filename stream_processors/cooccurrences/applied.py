"""Which changes of G are in the counts, by source partition and by the histories they came from."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import structlog

from contracts.changes import Blocks, Changes, TakenOut
from contracts.keyspace import (
    LINEAGE_FIELD,
    SOURCE_FIELD_PREFIX,
    source_field,
    source_lineage_field,
)
from contracts.log_position import NOTHING, mark, mark_of, text_of
from contracts.topics import INTERACTIONS
from stream_processors.store.store import Store

log = structlog.get_logger()


class Applied(NamedTuple):
    """Up to where the changes of a partition's events are in the counts."""

    mark: int
    """of the last of these events"""
    lineage: int
    """of the histories that the changes were computed from"""


def fields_of(sources: Mapping[int, Applied]) -> dict[str, str]:
    """Return the fields of a position that say how far the changes of each source are applied.

    >>> fields_of({2: Applied(mark_of("[3,7]"), 5)})
    {'source:2': '[3,7]', 'source-lineage:2': '5'}
    """
    fields: dict[str, str] = {}
    for source, applied in sources.items():
        fields[source_field(source)] = text_of(applied.mark)
        fields[source_lineage_field(source)] = str(applied.lineage)
    return fields


def applied_of(position: Mapping[str, str]) -> dict[int, Applied]:
    """Invert `fields_of`; other fields are ignored.

    >>> applied_of({"next": "40", "source:2": "[3,7]", "source-lineage:2": "5"})
    {2: Applied(mark=844424930131975, lineage=5)}
    """
    sources: dict[int, Applied] = {}
    for name, value in position.items():
        if name.startswith(SOURCE_FIELD_PREFIX):
            source = int(name.removeprefix(SOURCE_FIELD_PREFIX))
            lineage = int(position[source_lineage_field(source)])
            sources[source] = Applied(mark_of(value), lineage)
    return sources


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


class Lineages:
    """The lineages of the source partitions, as far as messages named them.

    Redis has a lineage before the first message that names it is published. So a lineage missing by
    then, from another namespace on the same broker or a store that has lost its data, is
    permanently foreign, and is looked up once.
    """

    def __init__(self, store: Store) -> None:
        """Take the store that has the histories."""
        self._store = store
        self._ours: dict[int, int] = {}
        self._foreign: set[tuple[int, int]] = set()

    async def is_ours(self, source: int, lineage: int) -> bool:
        """Return whether the histories of a source partition have a lineage."""
        if self._ours.get(source) == lineage:
            return True
        if (source, lineage) in self._foreign:
            return False
        position = await self._store.position(INTERACTIONS, source)
        if position.get(LINEAGE_FIELD) != str(lineage):
            self._foreign.add((source, lineage))
            log.warning(
                "changes of histories other than those in Redis are skipped",
                source=source,
                lineage=lineage,
                in_redis=position.get(LINEAGE_FIELD),
            )
            return False
        if source in self._ours:
            self._foreign.add((source, self._ours[source]))
        self._ours[source] = lineage
        return True
