"""Adds up changes of the Gram matrix G in memory, and writes them to its rows.

Exact in three ways. A message that is reread is skipped in the rows that it already reached, by
each row's offset. A change that a restarted worker republished is skipped by the highest applied
source offset, which moves with the position. A change that was computed from histories other than
those in Redis is skipped by its lineage.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import chain
from typing import Final

import numpy as np
import structlog

from contracts.changes import Changes, TakenOut
from contracts.log_position import NOTHING, LogPosition, mark, mark_of, text_of
from contracts.messages import Floats, Ints
from contracts.topics import COOCCURRENCES
from stream_processors import metrics
from stream_processors.cooccurrences.applied import (
    Applied,
    Lineages,
    applied_of,
    fields_of,
    unapplied,
)
from stream_processors.cooccurrences.leaving import Leaving, pieces
from stream_processors.cooccurrences.stored import StoredRows
from stream_processors.cooccurrences.sums import Sums, Unsummed, holders_of, places_in, rows_of
from stream_processors.cooccurrences.table import UNKNOWN, CountTable, keys_of, rows_in
from stream_processors.decoding.changes import ChangesRecord
from stream_processors.ids import distinct
from stream_processors.partition.fold import Fold
from stream_processors.store.chunks import Group, Unwritten
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store

log = structlog.get_logger()

_RECORDS_AT_ONCE: Final = 8
# Changes that are added up at once, 16 bytes each.
_ROWS_SUMMED: Final = 200_000
# Distinct counts that may wait to be written, some 40 bytes each until they are.
_COUNTS_UNWRITTEN: Final = 600_000
# Changes of leaving users, which are expanded only when they are written: so many take a flush some
# seconds.
_PAIRS_UNWRITTEN: Final = 2_000_000
# Changes that are applied to counts at once, some 100 bytes each.
_CHANGES_AT_ONCE: Final = 200_000
# Counts that a partition caches, 16 bytes each.
_COUNTS_CACHED: Final = 2_000_000


class CountsFold(Fold[Sequence[ChangesRecord]]):
    """One partition's rows of G, and the changes that Redis does not have yet."""

    def __init__(self, claim: Claim, store: Store) -> None:
        """Take the partition, and the store that has the histories."""
        self._claim = claim
        self._lineages = Lineages(store)
        self._table = CountTable(_COUNTS_CACHED)
        self._stored = StoredRows(claim.keyspace, claim.partition, self._table)
        self._unsummed = Unsummed(_ROWS_SUMMED, _COUNTS_UNWRITTEN)
        self._applied = applied_of(claim.position)
        """by source partition, with what is in memory"""
        self._taken = NOTHING
        """mark of the last message"""
        self._newest_read = NOTHING
        """the greatest mark that Redis had when its row was first touched"""
        self._bare = np.empty(0, np.int64)
        """items whose row in Redis has only an offset, below the position"""
        self._rows_written = 0
        self._leaving = Leaving()
        self._pairs_a_record = 0

    @property
    def records_at_once(self) -> int:
        """How many records of up to 1 MB each fit into a flush of acceptable length."""
        return min(_RECORDS_AT_ONCE, max(1, _PAIRS_UNWRITTEN // max(1, self._pairs_a_record)))

    @property
    def is_full(self) -> bool:
        """Whether more is unwritten than memory, or a flush, should hold."""
        return self._unsummed.is_full or self._leaving.pairs >= _PAIRS_UNWRITTEN

    async def take(self, records: Sequence[ChangesRecord]) -> None:
        """Add changes."""
        for offset, changes in records:
            if await self._lineages.is_ours(changes.source, changes.lineage):
                self._follow(changes.source, changes.lineage)
                await self._take(mark(self._claim.incarnation, offset), changes)
            else:
                metrics.FOREIGN_CHANGES.inc(len(changes))
            await asyncio.sleep(0)  # a message may take milliseconds

    async def unwritten(self) -> Unwritten:
        """Return the rows that changed, some at a time."""
        return Unwritten(self._groups(), fields_of(self._applied))

    def written(self) -> None:
        """Note how many rows were written; forget items, when there are many."""
        self._table.forget_items()
        metrics.FLUSHED_VALUES.labels(COOCCURRENCES.name).inc(self._rows_written)

    def _follow(self, source: int, lineage: int) -> None:
        """Find out which changes of rebuilt histories are already applied.

        Lost histories are rebuilt, with incarnation 0, from the beginning of the same log: its
        events are the same up to the last one that was applied.
        """
        before = self._applied.get(source)
        if before is None or before.lineage == lineage:
            return
        after = Applied(mark(0, LogPosition.of(before.mark).offset), lineage)
        self._applied[source] = after
        log.warning(
            "histories are being rebuilt after Redis lost them: their changes up to what was "
            "applied are skipped, and counts keep what only the lost ones had",
            partition=self._claim.partition,
            source=source,
            applied=text_of(before.mark),
            left_out_up_to=text_of(after.mark),
            lineage=lineage,
        )

    async def _take(self, at: int, changes: Changes) -> None:
        self._taken = at
        fresh, self._applied = unapplied(changes, self._applied)
        if len(fresh) < len(changes):
            metrics.REPLAYED_CHANGES.inc(len(changes) - len(fresh))
        for rows in rows_of(fresh, self._table.numbers):
            await self._read_rows(self._table.unread(rows.i))
            some = rows
            if self._newest_read >= at:
                # A crash left part of a flush written.
                some = rows.where(self._table.marks(rows.i) < at)
            self._unsummed.add(keys_of(some.i, some.j), some.delta)
        before = self._leaving.pairs
        for one in fresh.taken_out:
            await self._take_out(at, one)
        self._pairs_a_record = max(self._leaving.pairs - before, self._pairs_a_record // 2)
        for items, change in holders_of(fresh):
            # All of these rows were read, as G[item, item] changes with them.
            self._table.add_holders(self._table.numbers(items), change, at)

    async def _take_out(self, at: int, one: TakenOut) -> None:
        i, j = self._table.numbers(one.i), self._table.numbers(one.j)
        await self._read_rows(self._table.unread(i))
        is_new = self._table.marks(i) < at
        self._leaving.add(i[is_new], one.r_i[is_new], j, one.r_j)

    async def _read_rows(self, numbers: Ints) -> None:
        """Read which messages are in Redis's rows, and how many users have their items."""
        if not len(numbers):
            return
        answers = await self._claim.read(self._stored.ask_for_rows(numbers))
        marks = [mark_of(offset) for offset, _ in answers]
        holders = [UNKNOWN if n is None else int(n) for _, n in answers]
        self._table.learn(numbers, np.array(marks, np.int64), np.array(holders, np.int64))
        self._newest_read = max([self._newest_read, *marks])

    async def _groups(self) -> AsyncIterator[Iterable[Group]]:
        """Yield the writes, some rows at a time; no row is split.

        Counts may leave memory before they are written: none of them is read before the next flush.
        """
        bare, self._bare, self._rows_written = self._bare, self._bare[:0], 0
        left = self._leaving.take(self._table.items())
        for sums in pieces(self._unsummed.take(), left, _CHANGES_AT_ONCE):
            await asyncio.sleep(0)
            counts = await self._counts_of(sums)
            changed = rows_in(sums.key)
            bare = bare[~places_in(distinct(self._table.items(changed)), bare)[1]]
            emptied = self._table.items(self._stored.emptied(sums.key, counts))
            self._bare = np.append(self._bare, emptied)
            self._rows_written += len(changed)
            yield self._stored.groups(sums.key, counts, self._taken)
            self._table.evict()
        yield self._stored.delete_bare(bare)

    async def _counts_of(self, sums: Sums) -> Floats:
        """Return the counts after adding the sums."""
        found = self._table.find(sums)
        answers = await self._claim.read(self._stored.ask_for_counts(found.missing))
        missing = [float(count or 0) for count in chain.from_iterable(answers)]
        return self._table.add(found, np.array(missing, np.float64))
