"""The agent of `cooccurrences`: adds changes to the rows of the Gram matrix in Redis.

Exact in three ways. A message that is read again is left out of the rows that it already reached,
by each row's offset. A change that was published again, by a worker that started over, is left out
by the highest source offset that was applied, which moves with the position. A change that was
computed from other histories than those in Redis (of another namespace on the same broker, or of a
store that has lost its data since) is left out by its lineage.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from contracts.keyspace import OFFSET_FIELD
from contracts.messages import Changes, Rejection, decode_changes
from contracts.topics import COOCCURRENCES, INTERACTIONS
from stream_processors import metrics
from stream_processors.commands import Commands, command
from stream_processors.cooccurrences.fold import MarkedRows, RowChange, sum_by_row, unapplied
from stream_processors.cooccurrences.rows import Row, Rows
from stream_processors.dead_letters import DeadLetters
from stream_processors.marks import NOTHING, incarnation_and_offset, mark
from stream_processors.positions import Claim
from stream_processors.sink import Sink
from stream_processors.transport import RecordBatch

# Changes that a partition may hold unwritten: 32 bytes each, and some 20 ms to add up.
_MAX_CHANGES: Final = 100_000
# Counts that a partition keeps in memory, some 100 bytes each, so as not to read them again.
_COUNTS_CACHED: Final = 200_000

_offset = msgspec.json.Decoder(tuple[int, int])
_encode = msgspec.json.Encoder().encode


class CooccurrencePartition:
    """One partition's rows of G, position and writes."""

    def __init__(self, claim: Claim, sink: Sink, dead_letters: DeadLetters) -> None:
        self.claim = claim
        self.next_offset = claim.next_offset
        self._sink = sink
        self._dead_letters = dead_letters
        self._rows = Rows(_COUNTS_CACHED)
        self._pending: list[MarkedRows] = []
        self._applied = claim.sources
        """source partition -> mark of the last event in what is written or pending"""
        self._lineage_of: dict[int, int | None] = {}
        """source partition -> its lineage in Redis, as last read"""
        self._write_failed = False
        self._flushing = asyncio.Lock()

    async def process(self, batch: RecordBatch) -> None:
        """Take a batch in; the position moves past it with the next flush."""
        messages, rejections = self._decode(batch)
        await self._dead_letters.publish(batch, rejections)
        for offset, changes in messages:
            if await self._are_of_ours(changes):
                rows, self._applied = unapplied(
                    mark(self.claim.incarnation, offset), changes, self._applied
                )
                self._pending.append(rows)
            self.next_offset = offset + 1
            if sum(map(len, self._pending)) >= _MAX_CHANGES:
                await self.flush()
        self.next_offset = batch.next_offset

    async def flush(self) -> None:
        """Add what is pending to the rows in Redis, then write the position."""
        async with self._flushing:
            if self._write_failed or self.next_offset == self.claim.next_offset:
                return
            next_offset, applied = self.next_offset, self._applied
            pending, self._pending = MarkedRows.joined(self._pending), []
            # Until it is written it stands nowhere else: no later position may cover it.
            self._write_failed = True
            with metrics.FLUSH_SECONDS.labels(COOCCURRENCES.name).time():
                changes = await self._read(pending)
                await self._sink.write(self.claim, self._groups(changes), next_offset, applied)
            self._write_failed = False
            self._rows.touch(change.item for _, change in changes)
        metrics.FLUSHED_VALUES.labels(COOCCURRENCES.name).inc(len(changes))

    async def _are_of_ours(self, changes: Changes) -> bool:
        """Tell whether changes were computed from the histories that are in Redis."""
        source = changes.source
        if self._lineage_of.get(source) != changes.lineage:
            self._lineage_of[source] = await self._sink.lineage(INTERACTIONS, source)
        if self._lineage_of[source] == changes.lineage:
            return True
        metrics.FOREIGN_CHANGES.inc(len(changes))
        return False

    def _decode(self, batch: RecordBatch) -> tuple[list[tuple[int, Changes]], list[Rejection]]:
        messages, rejections = [], []
        for place, record in enumerate(batch.records):
            try:
                messages.append((record.offset, decode_changes(record.value)))
            except ValueError as error:
                rejections.append(Rejection(place, str(error)))
        return messages, rejections

    async def _read(self, pending: MarkedRows) -> list[tuple[Row, RowChange]]:
        """Return what each row changes by, with the row as far as the change needs it."""
        changes = sum_by_row(pending)
        newest = await self._read_marks([change.item for change in changes])
        if len(pending) and newest >= pending.at[0]:
            changes = sum_by_row(self._unreached(pending))
        rows = [self._rows[change.item] for change in changes]
        asked = [
            (row, change.item, unknown)
            for row, change in zip(rows, changes, strict=True)
            if (unknown := row.unknown(change.j.tolist()))
        ]
        questions = (
            command("HMGET", self._key(item), list(map(str, unknown))) for _, item, unknown in asked
        )
        answers = await self._sink.read(self.claim, questions)
        for (row, _, unknown), stored in zip(asked, answers, strict=True):
            row.learn(unknown, stored)
        return list(zip(rows, changes, strict=True))

    async def _read_marks(self, items: Sequence[int]) -> int:
        """Make rows of the items that have none; return the greatest mark in Redis of these."""
        new = [item for item in items if item not in self._rows]
        questions = (command("HGET", self._key(item), [OFFSET_FIELD]) for item in new)
        answers = await self._sink.read(self.claim, questions)
        marks = [mark(*_offset.decode(answer)) if answer else NOTHING for answer in answers]
        for item, its_mark in zip(new, marks, strict=True):
            self._rows.put(item, its_mark)
        return max(marks, default=NOTHING)

    def _unreached(self, pending: MarkedRows) -> MarkedRows:
        """Return what is not yet in the rows: part of a flush got through before a crash."""
        marks = (self._rows[i].mark for i in pending.i.tolist())
        return pending.where(pending.at > np.fromiter(marks, np.int64, len(pending)))

    def _groups(self, changes: Iterable[tuple[Row, RowChange]]) -> Iterator[Commands]:
        index = self._sink.keyspace.items(self.claim.partition)
        for row, change in changes:
            group: Commands = []
            if row.mark == NOTHING:
                group += command("SADD", index, [str(change.item)])
            row.mark = change.mark
            offset = _encode(incarnation_and_offset(change.mark)).decode()
            count = 2 + 2 * len(change.j)
            group += ("HSET", self._key(change.item), count, OFFSET_FIELD, offset)
            group += row.add(change.j.tolist(), change.delta)
            yield group

    def _key(self, item: int) -> str:
        return self._sink.keyspace.cooc(self.claim.partition, item)
