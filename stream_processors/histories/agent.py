"""The agent of `interactions`: changes of G to Kafka first, then histories and position to Redis.

The order makes it exact: a history is written only after the broker has acknowledged what it
changed. A crash in between makes the same changes again, under the same offsets, and the reader of
`cooccurrences` leaves those out.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from contracts.changes import Changes, encode_changes
from contracts.commands import Commands, command
from contracts.keyspace import ACTIVE_USERS_PER_PARTITION
from contracts.messages import InteractionColumns, Ints, decode_interactions
from contracts.partitioning import instrument_partitions, user_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS
from runtime.topology import Topology
from stream_processors import metrics
from stream_processors.dead_letters import DeadLetters
from stream_processors.histories import fold, scaled_fold
from stream_processors.histories.affinities import Affinity
from stream_processors.histories.fold import Change, History, Rows, fold_event, rows_of
from stream_processors.histories.scaled_fold import fold_scaled_event
from stream_processors.histories.stored import history_of, touched_fields
from stream_processors.histories.user_weights import UserWeight
from stream_processors.marks import mark
from stream_processors.numbering import NONE, Numbering
from stream_processors.positions import Claim
from stream_processors.processing import misplaced
from stream_processors.publisher import Publisher
from stream_processors.sink import Sink
from stream_processors.transport import RecordBatch

# Rows of the widest columns, 32 bytes, that a message may have: below Kafka's limit of 1 MB.
_ROWS_A_MESSAGE: Final = 30_000
# Rows that are in memory at once, but for those of one event.
_ROWS_A_ROUND: Final = 250_000
# Histories may have hundreds of items each: some fifty are a millisecond of Redis's time.
_COST_OF_A_READ: Final = 150


class _ItemPartitions:
    """The partition of `cooccurrences` of each item that was ever asked for."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._numbering = Numbering()
        self._partition = np.empty(0, np.int16)

    def of(self, items: Ints) -> "np.typing.NDArray[np.int16]":
        """Return the partition of each item, (n,): of 16 bits, as NumPy sorts these fastest."""
        numbers = self._numbering.of(items)
        if (numbers == NONE).any():
            new = np.unique(items[numbers == NONE])
            self._numbering.add(new)
            partition = instrument_partitions(new, self._partitions).astype(np.int16)
            self._partition = np.append(self._partition, partition)
            numbers = self._numbering.of(items)
        return self._partition[numbers]


class HistoryPartition:
    """One partition's histories, position and writes; keeps no history between batches."""

    def __init__(
        self,
        claim: Claim,
        sink: Sink,
        publisher: Publisher,
        dead_letters: DeadLetters,
        topology: Topology,
        affinity: Affinity,
        cap: int,
        weight: UserWeight | None = None,
    ) -> None:
        self.claim = claim
        self.next_offset = claim.next_offset
        self._sink = sink
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._topology = topology
        self._item_partitions = _ItemPartitions(topology.cooccurrences)
        self._affinity = affinity
        self._cap = cap
        self._weight = weight
        changes = (scaled_fold if weight else fold).CHANGES_AN_EVENT
        # An event's rows stay together.
        self._enough_rows = max(1, _ROWS_A_MESSAGE - changes * (2 * cap + 1))

    async def process(self, batch: RecordBatch) -> None:
        """Fold a batch in, publish what it changes, write the histories and then the position."""
        columns, rejections = decode_interactions(batch.values(), batch.clock_ms())
        elsewhere = self._of_other_partitions(columns)
        wrong = [
            misplaced(int(place), self.claim.partition, f"user_id {user!r}")
            for place, user in zip(columns.index, columns.user_id, strict=True)
            if user in elsewhere
        ]
        await self._dead_letters.publish(batch, [*rejections, *wrong])
        users = [user for user in dict.fromkeys(columns.user_id) if user not in elsewhere]
        histories = await self._read(users)
        last_ts_ms: dict[str, int] = {}
        changes = self._fold(batch, columns, histories, last_ts_ms)
        for some in _rounds(changes):
            await self._publish(rows_of(some))
        await self._dead_letters.settled(INTERACTIONS, self.claim.partition)
        with metrics.FLUSH_SECONDS.labels(INTERACTIONS.name).time():
            await self._sink.write(
                self.claim, self._groups(histories, last_ts_ms), batch.next_offset
            )
        self.next_offset = batch.next_offset
        metrics.FLUSHED_VALUES.labels(INTERACTIONS.name).inc(len(histories))
        if len(columns):
            newest = int(columns.ts_ms.max())
            metrics.FRESHNESS.labels(INTERACTIONS.name).set(time.time() - newest / 1000)

    async def flush(self) -> None:
        """Nothing is only in memory."""

    def _of_other_partitions(self, columns: InteractionColumns) -> set[str]:
        partitions = self._topology.interactions
        return {
            user
            for user in set(columns.user_id)
            if user_partition(user, partitions) != self.claim.partition
        }

    async def _read(self, users: Sequence[str]) -> dict[str, History]:
        questions = [command("HGETALL", self._key(user), []) for user in users]
        answers = await self._sink.read(
            self.claim, questions, cost=_COST_OF_A_READ, still_mine=True
        )
        scaled = self._weight is not None
        return {
            user: history_of(answer, scaled=scaled)
            for user, answer in zip(users, answers, strict=True)
        }

    def _fold(
        self,
        batch: RecordBatch,
        columns: InteractionColumns,
        histories: dict[str, History],
        last_ts_ms: dict[str, int],
    ) -> list[Change]:
        """Fold the events in, in the log's order; note each touched user's last event time."""
        offsets = batch.offsets()[columns.index].tolist()
        changes: list[Change] = []
        for user, item, event, ts_ms, value, offset in zip(
            columns.user_id,
            columns.instrument_id.tolist(),
            columns.event.tolist(),
            columns.ts_ms.tolist(),
            columns.value.tolist(),
            offsets,
            strict=True,
        ):
            history = histories.get(user)
            at = mark(self.claim.incarnation, offset)
            if history is None or at <= history.mark:
                continue
            place = history.place_of.get(item)
            so_far = 0.0 if place is None else float(history.affinity[place])
            increase = self._affinity(so_far, event, ts_ms)
            if self._weight is None:
                changes += fold_event(history, offset, item, increase, ts_ms, self._cap)
            else:
                changes += fold_scaled_event(
                    history, offset, item, increase, ts_ms, self._cap, value, self._weight
                )
            history.mark = at
            last_ts_ms[user] = max(ts_ms, last_ts_ms.get(user, 0))
        return changes

    async def _publish(self, rows: Rows) -> None:
        """Publish to each partition of `cooccurrences` its rows."""
        partition = self._item_partitions.of(rows.i)
        order = np.argsort(partition, kind="stable")  # so offsets rise within each
        ends = np.searchsorted(partition[order], np.arange(1, self._topology.cooccurrences + 1))
        starts = np.append(0, ends[:-1])
        await asyncio.gather(
            *(
                self._publish_to(p, rows, order[start:end])
                for p, (start, end) in enumerate(zip(starts, ends, strict=True))
                if start < end
            )
        )
        metrics.CHANGES.inc(len(rows.i))

    async def _publish_to(self, partition: int, rows: Rows, chosen: Ints) -> None:
        """Publish rows, chosen by rising offset, to one partition.

        One message is on its way there at a time, so that none is kept when one before it was lost.
        """
        for some in np.split(chosen, _cuts(rows.offset[chosen], self._enough_rows)):
            changes = Changes(
                source=self.claim.partition,
                incarnation=self.claim.incarnation,
                lineage=self.claim.lineage,
                offset=rows.offset[some],
                i=rows.i[some],
                j=rows.j[some],
                delta=rows.delta[some],
            )
            await self._publisher.publish(COOCCURRENCES.name, partition, encode_changes(changes))

    def _groups(
        self, histories: dict[str, History], last_ts_ms: dict[str, int]
    ) -> Iterator[Commands]:
        active = self._sink.keyspace.active(self.claim.partition)
        for user, ts_ms in last_ts_ms.items():
            yield [
                *command("ZADD", active, ["GT", str(ts_ms), user]),
                *self._history_group(user, histories[user]),
            ]
        if last_ts_ms:
            yield command("ZREMRANGEBYRANK", active, ["0", str(-ACTIVE_USERS_PER_PARTITION - 1)])

    def _history_group(self, user: str, history: History) -> Commands:
        key = self._key(user)
        group: Commands = []
        if history.removed:
            group += command("HDEL", key, [str(item) for item in history.removed])
        return group + command("HSET", key, touched_fields(history))

    def _key(self, user: str) -> str:
        return self._sink.keyspace.history(self.claim.partition, user)


def _cuts(offset: Ints, enough: int) -> list[int]:
    """Return where to cut rows of rising offset: when enough, one offset's together."""
    cuts: list[int] = []
    place = enough
    while place < len(offset):
        cut = int(np.searchsorted(offset, offset[place - 1], side="right"))
        if cut < len(offset):
            cuts.append(cut)
        place = cut + enough
    return cuts


def _rounds(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Cut changes where the rows reach a round; those of one offset stay together."""
    some: list[Change] = []
    rows = 0
    for change in changes:
        if rows >= _ROWS_A_ROUND and change.offset != some[-1].offset:
            yield some
            some, rows = [], 0
        some.append(change)
        rows += change.rows
    if some:
        yield some
