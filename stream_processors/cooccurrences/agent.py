"""The agent of `cooccurrences`: adds changes to the rows of the Gram matrix in Redis.

Exact in three ways. A message that is read again is left out of the rows that it already reached,
by each row's offset. A change that was published again, by a worker that started over, is left out
by the highest source offset that was applied, which moves with the position. A change that was
computed from other histories than those in Redis (of another namespace on the same broker, or of a
store that has lost its data since) is left out by its lineage.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from contracts.keyspace import OFFSET_FIELD
from contracts.messages import Changes, Rejection, decode_changes
from contracts.topics import COOCCURRENCES, INTERACTIONS
from stream_processors import metrics
from stream_processors.cooccurrences.fold import RowChange, sum_by_row, unapplied
from stream_processors.dead_letters import DeadLetters
from stream_processors.marks import NOTHING, incarnation_and_offset, mark
from stream_processors.positions import Claim
from stream_processors.sink import Argument, Operation, Sink
from stream_processors.transport import RecordBatch

# Rows that are folded between two writes of the position; bounds memory and a row's longest write.
_ROWS_A_WRITE: Final = 100_000
_ITEMS_A_READ: Final = 200

_offset = msgspec.json.Decoder(tuple[int, int])
_encode = msgspec.json.Encoder().encode


class CooccurrencePartition:
    """One partition's rows of G, position and writes."""

    def __init__(self, claim: Claim, sink: Sink, dead_letters: DeadLetters) -> None:
        self.claim = claim
        self.next_offset = claim.next_offset
        self._sink = sink
        self._dead_letters = dead_letters
        self._mark_of: dict[int, int] = {}
        """item -> mark of the last message in its row, for the items seen since the assignment"""
        self._lineage_of: dict[int, int | None] = {}
        """source partition -> its lineage in Redis, as last read"""

    async def process(self, batch: RecordBatch) -> None:
        """Add a batch to the rows, and write the position."""
        decoded, rejections = self._decode(batch)
        await self._dead_letters.publish(batch, rejections)
        messages = [
            (offset, changes) for offset, changes in decoded if await self._are_of_ours(changes)
        ]
        some: list[tuple[int, Changes]] = []
        for place, (offset, changes) in enumerate(messages):
            some.append((mark(self.claim.incarnation, offset), changes))
            is_last = place == len(messages) - 1
            if not is_last and sum(len(c) for _, c in some) >= _ROWS_A_WRITE:
                await self._apply(some, offset + 1)
                some = []
        await self._apply(some, batch.next_offset)

    async def flush(self) -> None:
        """Nothing is only in memory."""

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

    async def _apply(self, messages: Sequence[tuple[int, Changes]], next_offset: int) -> None:
        rows, applied = unapplied(messages, self.claim.sources)
        await self._read_marks(np.unique(rows.i).tolist())
        reached = np.fromiter((self._mark_of[i] for i in rows.i.tolist()), np.int64, len(rows))
        changes = sum_by_row(rows.where(rows.at > reached))
        operations = await self._operations(changes)
        with metrics.FLUSH_SECONDS.labels(COOCCURRENCES.name).time():
            await self._sink.write(self.claim, operations, next_offset, applied)
        self._mark_of.update((change.item, change.mark) for change in changes)
        self.next_offset = next_offset
        metrics.FLUSHED_VALUES.labels(COOCCURRENCES.name).inc(len(changes))

    async def _read_marks(self, items: Sequence[int]) -> None:
        """Learn what is already in the rows of items that were not seen since the assignment."""
        unknown = [item for item in items if item not in self._mark_of]
        commands = [("HGET", self._key(item), OFFSET_FIELD) for item in unknown]
        answers = await self._sink.read(commands) if commands else []
        for item, answer in zip(unknown, answers, strict=True):
            self._mark_of[item] = mark(*_offset.decode(answer)) if answer else NOTHING

    async def _operations(self, changes: Sequence[RowChange]) -> list[list[Operation]]:
        operations = []
        for at in range(0, len(changes), _ITEMS_A_READ):
            some = changes[at : at + _ITEMS_A_READ]
            commands = [("HMGET", self._key(c.item), *c.j.tolist()) for c in some]
            for change, answer in zip(some, await self._sink.read(commands), strict=True):
                operations.append(self._row_operations(change, answer))
        return operations

    def _row_operations(self, change: RowChange, stored: Sequence[str | None]) -> list[Operation]:
        so_far = np.array([float(value or 0) for value in stored])
        fields: list[Argument] = [OFFSET_FIELD, _encode(incarnation_and_offset(change.mark))]
        for j, count in zip(change.j.tolist(), _numbers(so_far + change.delta), strict=True):
            fields += (j, count)
        operations = [Operation("HSET", self._key(change.item), fields)]
        if self._mark_of[change.item] == NOTHING:
            items = self._sink.keyspace.items(self.claim.partition)
            operations.append(Operation("SADD", items, [change.item]))
        return operations

    def _key(self, item: int) -> str:
        return self._sink.keyspace.cooc(self.claim.partition, item)


def _numbers(values: "np.typing.NDArray[np.float64]") -> list[Any]:
    """Return numbers as people write them: whole ones without a point."""
    return [int(v) if v.is_integer() else v for v in values.tolist()]
