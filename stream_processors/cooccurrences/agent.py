"""The agent of `cooccurrences`: adds changes to the rows of the Gram matrix in Redis.

Exact in three ways. A message that is read again is left out of the rows that it already reached,
by each row's offset. A change that was published again, by a worker that started over, is left out
by the highest source offset that was applied, which moves with the position. A change that was
computed from other histories than those in Redis (of another namespace on the same broker, or of a
store that has lost its data since) is left out by its lineage.
"""

import asyncio
from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter
from typing import Final

import msgspec
import numpy as np

from contracts.changes import Changes, decode_changes
from contracts.commands import Commands, command
from contracts.keyspace import OFFSET_FIELD
from contracts.messages import Floats, Ints, Rejection
from contracts.topics import COOCCURRENCES, INTERACTIONS
from stream_processors import metrics
from stream_processors.cooccurrences.fold import MarkedRows, unapplied
from stream_processors.cooccurrences.table import CountTable, Summed
from stream_processors.dead_letters import DeadLetters
from stream_processors.marks import NOTHING, incarnation_and_offset, mark
from stream_processors.positions import Claim
from stream_processors.sink import Sink
from stream_processors.transport import RecordBatch

# Changes that a partition may hold unwritten: 32 bytes each, and some 20 ms to add up.
_MAX_CHANGES: Final = 100_000
# Counts that a partition keeps in memory, 16 bytes each, so as not to read them again.
_COUNTS_CACHED: Final = 1_000_000

_offset = msgspec.json.Decoder(tuple[int, int])
_encode = msgspec.json.Encoder().encode


class CooccurrencePartition:
    """One partition's rows of G, position and writes."""

    def __init__(self, claim: Claim, sink: Sink, dead_letters: DeadLetters) -> None:
        self.claim = claim
        self.next_offset = claim.next_offset
        self._sink = sink
        self._dead_letters = dead_letters
        self._table = CountTable(_COUNTS_CACHED)
        self._pending: list[MarkedRows] = []
        self._applied = claim.sources
        """source partition -> mark of the last event in what is written or pending"""
        self._lineage_of: dict[int, int | None] = {}
        """source partition -> its lineage in Redis, as last read"""
        self._newest_read = NOTHING
        """the greatest mark that was in Redis when its row was first touched"""
        self._write_failed = False
        self._begun: asyncio.Task[None] | None = None
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
                await self._begin_flush()
        self.next_offset = batch.next_offset

    async def flush(self) -> None:
        """Add what is pending to the rows in Redis, then write the position."""
        await self._end_flush()
        await self._flush()

    async def _begin_flush(self) -> None:
        """Flush while more changes come in, once the flush that was begun before has ended."""
        await self._end_flush()
        self._begun = asyncio.create_task(self._flush())

    async def _end_flush(self) -> None:
        """Wait for the flush that was begun; raise what it failed of, to everyone who waits."""
        if self._begun:
            # The end of one who waits must not take it from another.
            await asyncio.shield(self._begun)

    async def _flush(self) -> None:
        async with self._flushing:
            if self._write_failed or self.next_offset == self.claim.next_offset:
                return
            next_offset, applied = self.next_offset, self._applied
            pending, self._pending = MarkedRows.joined(self._pending), []
            # Until it is written it stands nowhere else: no later position may cover it.
            self._write_failed = True
            with metrics.FLUSH_SECONDS.labels(COOCCURRENCES.name).time():
                summed = await self._summed(pending)
                await self._dead_letters.settled(COOCCURRENCES, self.claim.partition)
                await self._sink.write(self.claim, self._groups(summed), next_offset, applied)
            self._write_failed = False
            self._table.evict()
        metrics.FLUSHED_VALUES.labels(COOCCURRENCES.name).inc(len(summed.number))

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

    async def _summed(self, pending: MarkedRows) -> Summed:
        """Return what changes, with memory as far as the changes need it."""
        await self._read_marks(self._table.unread(pending.i))
        if len(pending) and self._newest_read >= pending.at[0]:
            # Part of a flush got through before a crash.
            pending = pending.where(pending.at > self._table.marks(pending.i))
        summed = self._table.sum(pending)
        await self._read_counts(self._table.missing(summed))
        return summed

    async def _read_marks(self, items: Ints) -> None:
        """Learn the marks that Redis has in rows."""
        questions = (command("HGET", self._key(item), [OFFSET_FIELD]) for item in items.tolist())
        answers = await self._sink.read(self.claim, questions)
        marks = [mark(*_offset.decode(answer)) if answer else NOTHING for answer in answers]
        self._table.learn(items, np.array(marks, np.int64))
        self._newest_read = max([self._newest_read, *marks])

    async def _read_counts(self, keys: Ints) -> None:
        columns = (column.tolist() for column in self._table.item_and_other(keys))
        questions = [
            command("HMGET", self._key(item), [str(j) for _, j in pairs])
            for item, pairs in groupby(zip(*columns, strict=True), key=itemgetter(0))
        ]
        answers = await self._sink.read(self.claim, questions)
        counts = [float(count or 0) for count in chain.from_iterable(answers)]
        self._table.insert(keys, np.array(counts, np.float64))

    def _groups(self, summed: Summed) -> Iterator[Commands]:
        index = self._sink.keyspace.items(self.claim.partition)
        items = self._table.items(summed.number)
        is_new = self._table.marks(items) == NOTHING
        fields: list[str] = [""] * (2 * len(summed))
        fields[0::2] = map(str, self._table.item_and_other(summed.key)[1].tolist())
        fields[1::2] = map(str, _numbers(self._table.add(summed)))
        ends = [*summed.first[1:].tolist(), len(summed)]
        columns = (items, is_new, summed.first, summed.mark)
        for item, its_new, first, its_mark, end in zip(
            *(column.tolist() for column in columns), ends, strict=False
        ):
            group = command("SADD", index, [str(item)]) if its_new else []
            offset = _encode(incarnation_and_offset(its_mark)).decode()
            group += ("HSET", self._key(item), 2 + 2 * (end - first), OFFSET_FIELD, offset)
            group += fields[2 * first : 2 * end]
            yield group

    def _key(self, item: int) -> str:
        return self._sink.keyspace.cooc(self.claim.partition, item)


def _numbers(values: Floats) -> list[float]:
    """Return whole numbers as ints, which people read as 3 and not 3.0."""
    whole = np.rint(values)
    numbers: list[float] = (
        whole.astype(np.int64) if np.array_equal(whole, values) else values
    ).tolist()
    return numbers
