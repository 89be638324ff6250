"""Folds user events into histories, and into changes of G.

Changes go to Kafka first, then histories and position to Redis: a history is written only after the
broker has acknowledged its changes. After a crash in between, the same changes are published again
under the same offsets, and the reader of `cooccurrences` skips them.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from contracts.changes import EVENT_BYTES, ROW_BYTES, Changes, encode_changes
from contracts.log_position import mark
from contracts.tombstones import Tombstone
from contracts.topics import COOCCURRENCES, INTERACTIONS
from runtime.topology import Topology
from stream_processors import metrics
from stream_processors.decoding.interactions import Event, UserEvents
from stream_processors.decoding.placement import ItemPartitions
from stream_processors.erasure import Erasure
from stream_processors.histories.fold import Change, Leaving, fold_leaving
from stream_processors.histories.history import HistoryCache
from stream_processors.histories.outgoing import MESSAGE_BYTES, Message, messages
from stream_processors.histories.retention import Retention
from stream_processors.histories.rules import HistoryRules
from stream_processors.histories.stored import history_commands, history_of
from stream_processors.partition.fold import Fold
from stream_processors.store.chunks import Group, Unwritten, command
from stream_processors.store.claims import Claim
from stream_processors.transport.producer import Producer

# Items of histories that one script call reads, some millisecond of Redis's time.
_ITEMS_AT_ONCE: Final = 1_000
# Entries of G, 8 bytes each, whose changes may wait to be published.
_ROWS_UNPUBLISHED: Final = 250_000
# Items, some 24 bytes each, that a partition's histories may hold in memory.
_ITEMS_CACHED: Final = 500_000
# Estimates may be far off.
_RECORDS_AT_ONCE: Final = range(16, 10_000)


class HistoriesFold(Fold[UserEvents]):
    """One partition's histories, and the unpublished changes of G.

    Memory is a cache of Redis: a history is read when an event needs it, and kept while there is
    room. Only `written` may evict a changed one.
    """

    def __init__(
        self,
        claim: Claim,
        producer: Producer,
        topology: Topology,
        rules: HistoryRules,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the partition, where to publish, and how events become histories."""
        self._claim = claim
        self._producer = producer
        self._rules = rules
        self._item_partitions = ItemPartitions(topology.cooccurrences)
        self._retention = Retention(claim, producer, rules.retention_days, clock_s)
        self._erasure = Erasure(claim, claim.keyspace.history)
        self._cache = HistoryCache(_ITEMS_CACHED)
        self._changes: list[Change | Leaving] = []
        self._rows = 0
        self._rows_a_record = float(rules.rows_an_event)
        self._newest_ts_ms = 0
        # An event's changes stay together: a message may exceed the limit by one event.
        greatest = 2 * EVENT_BYTES * rules.changes_an_event + ROW_BYTES * rules.rows_an_event
        self._enough_bytes = max(1, MESSAGE_BYTES - greatest)

    @property
    def is_due(self) -> bool:
        """Whether keys of removed users are to be deleted."""
        return bool(self._erasure.bare)

    @property
    def records_at_once(self) -> int:
        """About how many records fill the limit of unpublished changes."""
        at_once = round(_ROWS_UNPUBLISHED / self._rows_a_record)
        return min(max(at_once, _RECORDS_AT_ONCE.start), _RECORDS_AT_ONCE.stop)

    @property
    def is_full(self) -> bool:
        """Whether more is unpublished or unwritten than memory should hold."""
        return self._rows >= _ROWS_UNPUBLISHED or self._cache.changed_size >= _ITEMS_CACHED

    async def take(self, records: UserEvents) -> None:
        """Fold events in log order."""
        events = records.events
        await self._read(self._cache.unknown(dict.fromkeys(user for _, user, *_ in events)))
        self._fold(events, records.tombstones, records.offsets.tolist())
        self._newest_ts_ms = max([self._newest_ts_ms, *(ts_ms for *_, ts_ms, _ in events)])

    async def unwritten(self) -> Unwritten:
        """Publish the changes; return the changed histories."""
        outgoing = messages(
            self._changes,
            self._item_partitions,
            self._enough_bytes,
            counts_holders=self._rules.counts_holders,
        )
        await asyncio.gather(*(self._publish(p, its) for p, its in enumerate(outgoing)))
        metrics.CHANGES.inc(self._rows)
        self._changes, self._rows = [], 0
        await self._retention.enforce()
        return Unwritten(self._groups())

    def written(self) -> None:
        """Forget the least recently changed histories, when there are many."""
        changed = self._cache.changed
        metrics.FLUSHED_VALUES.labels(INTERACTIONS.name).inc(len(changed))
        if self._newest_ts_ms:
            metrics.FRESHNESS.labels(INTERACTIONS.name).set(time.time() - self._newest_ts_ms / 1000)
        self._erasure.written(changed)
        self._cache.settle()

    async def _read(self, users: Sequence[str]) -> None:
        keys, is_scaled = list(map(self._erasure.key, users)), self._rules.is_scaled
        answers = await read_histories(self._claim, keys, self._rules.cap)
        histories = {
            user: history_of(answer, scaled=is_scaled)
            for user, answer in zip(users, answers, strict=True)
        }
        await self._erasure.look_up(histories)
        for user, history in histories.items():
            self._cache.insert(user, history)

    def _fold(
        self, events: Sequence[Event], tombstones: Mapping[int, Tombstone], offsets: Sequence[int]
    ) -> None:
        """Fold events that were not folded before; count the entries of G that they change."""
        base, get, changed = mark(self._claim.incarnation, 0), self._cache.get, self._cache.changed
        before, lengths, skipped = len(self._changes), 0, self._erasure.n_skipped
        for event in events:
            place, user, item, weight, ts_ms, value = event
            history, offset = get(user), offsets[place]
            lengths += len(history)
            tombstone = tombstones.get(place) if tombstones else None
            if not self._erasure.admits(user, history, base + offset, ts_ms, tombstone):
                continue
            if user not in changed:
                self._cache.change(user)
            if tombstone:
                self._changes += fold_leaving(history, offset)
            else:
                self._changes += self._rules.fold(history, offset, item, weight, ts_ms, value)
        metrics.ERASED_EVENTS.inc(self._erasure.n_skipped - skipped)
        self._rows += sum(map(_rows_of, self._changes[before:]))
        if events:
            self._rows_a_record = (self._rows_a_record + 1 + lengths / len(events)) / 2

    async def _publish(self, partition: int, outgoing: Iterable[Message]) -> None:
        """Publish to one partition of `cooccurrences`.

        One message at a time is in flight, so that none is stored after a lost one.
        """
        claim = self._claim
        for own, mirrored, taken_out in outgoing:
            changes = Changes(
                source=claim.partition,
                incarnation=claim.incarnation,
                lineage=claim.lineage,
                own=own,
                mirrored=mirrored,
                taken_out=taken_out,
            )
            await self._producer.publish(COOCCURRENCES.name, partition, encode_changes(changes))

    def _groups(self) -> Iterator[Group]:
        changed = self._cache.changed
        for user, history in changed.items():
            yield Group(self._erasure.key(user), history_commands(user, history))
        yield from self._erasure.groups(changed)


def _rows_of(change: Change | Leaving) -> int:
    """Return a change's size in memory, in entries of G.

    A leaving user changes the square of that, but only at the reader.
    """
    return len(change.j) if isinstance(change, Change) else 2 * len(change.item)


async def read_histories(claim: Claim, keys: Sequence[str], cap: int) -> list[Sequence[str]]:
    """Return the fields and values of each key, alternating.

    Args:
        claim: of the partition that the keys belong to.
        keys: of users' histories.
        cap: the maximum length of a history. A whole one may be too much for one call.
    """
    if cap <= _ITEMS_AT_ONCE:
        return await claim.read(Group(key, command("HGETALL", [])) for key in keys)
    names = await claim.read(Group(key, command("HKEYS", [])) for key in keys)
    parts = [
        (key, its[start : start + _ITEMS_AT_ONCE])
        for key, its in zip(keys, names, strict=True)
        for start in range(0, len(its), _ITEMS_AT_ONCE)
    ]
    values = await claim.read(Group(key, command("HMGET", part)) for key, part in parts)
    stored: dict[str, list[str]] = {key: [] for key in keys}
    for (key, part), its_values in zip(parts, values, strict=True):
        stored[key] += chain.from_iterable(zip(part, its_values, strict=True))
    return list(stored.values())
