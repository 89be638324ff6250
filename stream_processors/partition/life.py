"""One partition, from assignment to revocation: the object that owns all of its work.

```
assigned -> CLAIMING -> RESUMING -> FOLDING <-> FLUSHING
               ^                        |           |
               +- the log or store was replaced ----+
```

It ends as REVOKED by Kafka's group, REPLACED by another worker's claim unless the group confirms
that the partition is this worker's, or STOPPED: too many records are bad, an operator must decide
about a changed topic, its log is corrupt, or it holds messages of a later version.

Each has its own task and inbox, so that one whose Redis shard is unreachable does not delay others.
Faust's agents put batches into the inbox; the transport fetches for a partition only while it is
`hungry`. All steps are sequential, so neither this class nor a fold needs a lock.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import structlog
from faust.types import TP

from contracts.changes import UnknownVersionError
from contracts.messages import Rejection
from stream_processors import metrics
from stream_processors.partition.dead_letters import BadRecords, DeadLetters, TooManyBadRecordsError
from stream_processors.partition.fold import Folds
from stream_processors.partition.inbox import Inbox
from stream_processors.partition.resume import (
    Continuity,
    CopiedTopicError,
    Leaders,
    LogLostItsEndError,
)
from stream_processors.partition.rules import FlushTimes, Rules
from stream_processors.partition.spans import UNRECORDED, Counted, Unrecorded
from stream_processors.partition.state import State
from stream_processors.patience import WAITS, Waits
from stream_processors.store.claims import Claim, FencedError, StoreWentBackError
from stream_processors.store.store import Store
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.fetched import CorruptLogError
from stream_processors.transport.log import Log, TopicRecreatedError

log = structlog.get_logger()

# The cause may persist: a broker that is behind, a topic that is being created.
_RESTART_AFTER_S: Final = 0.5
# Data damaged in transit, or on the disk of one replica, may be intact the next time.
_CORRUPT_FETCHES: Final = 3


class NotContiguousError(RuntimeError):
    """A batch does not begin where the previous one ended: records in between would be lost."""


class FetchRefusedError(RuntimeError):
    """The broker has no record at the fetch offset."""


class Reader(Leaders, Protocol):
    """What a partition needs of the transport."""

    async def seek(self, offset: int, life: object) -> None:
        """Fetch from an offset on; batches then carry the life."""

    async def is_ours(self) -> bool:
        """Ask the group whether the partition is currently this worker's."""


class Partition:
    """The life of one assigned partition."""

    def __init__(
        self,
        rules: Rules,
        number: int,
        *,
        store: Store,
        log: Log,
        reader: Reader,
        dead_letters: DeadLetters,
        spans: Unrecorded = UNRECORDED,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tp = TP(rules.topic.name, number)
        self.state = State.CLAIMING
        self.since_s = clock_s()
        """when it entered that state, by the monotonic clock"""
        self.why = ""
        """it is replaced or stopped"""
        self.waits = Waits()
        """for unreachable servers"""
        self._rules = rules
        self._store = store
        self._log = log
        self._reader = reader
        self._dead_letters = dead_letters
        self._spans = spans
        self._clock_s = clock_s
        self._flush_times = FlushTimes(rules.flush_interval_s, number, rules.partitions)
        self._bad_records = BadRecords(rules.bad_records_max)
        self._inbox = Inbox()
        self._is_revoked = False
        self._claim: Claim | None = None
        self._next_offset = 0
        self._continuity = Continuity(self.tp, log, reader)
        self._corrupt = -1, 0
        """the offset where the log was last corrupt, and in how many fetches"""

    @property
    def is_hungry(self) -> bool:
        """Whether to fetch records for it."""
        return self.state in (State.FOLDING, State.FLUSHING) and self._inbox.has_room

    @property
    def held_bytes(self) -> int:
        """The size of the records that wait or are being folded."""
        return self._inbox.held_bytes

    @property
    def flushed_offset(self) -> int | None:
        """The position in Redis, None before the claim."""
        return None if self._claim is None else self._claim.next_offset

    @property
    def folded_offset(self) -> int:
        """The offset after the last folded record, in memory or in Redis; 0 before the claim."""
        return self._next_offset

    def hand(self, batch: RecordBatch) -> None:
        """Put a batch into the inbox, unless an earlier life had requested it."""
        self._inbox.put(batch)

    def fail(self, life: object, error: Exception) -> None:
        """Note that a fetch failed."""
        self._inbox.put_failure(life, error)

    def revoke(self) -> None:
        """Have the task write what it has folded, and end."""
        self._is_revoked = True
        self._inbox.wake()

    async def run(self) -> None:
        """Live until the partition is revoked, replaced or stopped.

        Raises:
            Exception: any that a restart of the worker may fix.
        """
        WAITS.set(self.waits)
        is_refused = False
        while not self._is_revoked:
            try:
                claim, fold = await self._begin(is_refused=is_refused)
                await self._read_from(claim.next_offset)
                await self._fold_until_revoked(claim, fold)
            except FencedError as replaced:
                self._end(State.REPLACED, replaced)
                # Not if an earlier owner's claim arrived late, e.g. because Redis was paused.
                if not await self._reader.is_ours():
                    return
                is_refused = await self._begin_again(replaced)
            except (TooManyBadRecordsError, CopiedTopicError, UnknownVersionError) as stopped:
                self._end(State.STOPPED, stopped)
                return
            except CorruptLogError as corrupt:
                if self._is_corrupt_again():
                    self._end(State.STOPPED, corrupt)
                    return
                is_refused = await self._begin_again(corrupt)
            except (  # conditions that a new claim may resolve
                *(FetchRefusedError, LogLostItsEndError),
                *(NotContiguousError, StoreWentBackError, TopicRecreatedError),
            ) as why:
                is_refused = await self._begin_again(why)
        self._enter(State.REVOKED)

    async def _begin_again(self, why: Exception) -> bool:
        """Pause; return whether the log may end before the position."""
        metrics.BEGUN_ANEW.labels(self.tp.topic, type(why).__name__).inc()
        log.warning("restarting partition", **self._name(), why=str(why))
        await asyncio.sleep(_RESTART_AFTER_S)
        return isinstance(why, (FetchRefusedError, LogLostItsEndError))

    def _is_corrupt_again(self) -> bool:
        """Count a damaged fetch; return whether several in a row were, at that offset."""
        at, fetches = self._corrupt
        self._corrupt = self._next_offset, fetches + 1 if at == self._next_offset else 1
        return self._corrupt[1] == _CORRUPT_FETCHES

    async def _begin(self, *, is_refused: bool) -> tuple[Claim, Folds[Any]]:
        """Claim the partition, decide where to resume, and make its fold.

        In this order: once the epoch is raised, nobody else moves the position, so the log's bounds
        are at least as new as the position that they are compared with.
        """
        self._enter(State.CLAIMING)
        self._inbox.close()
        topic, number = self._rules.topic, self.tp.partition
        position = await self._store.fence(topic, number, self._rules.folding)
        resume, bounds = await self._continuity.resume(position, is_refused=is_refused)
        claim = Claim(
            self._store,
            topic,
            number,
            position,
            next_offset=resume.next_offset,
            incarnation=resume.incarnation,
            topic_id=bounds.topic_id,
            folding=self._rules.folding,
            index=self._rules.index(number) if self._rules.index else None,
            last=self._continuity.text(),
            starts_over=resume.starts_over,
            may_miss_records=resume.may_miss_records,
        )
        fold = self._rules.make_folds(claim)
        await claim.write(fold.begun(), resume.next_offset)
        self._claim, self._next_offset = claim, resume.next_offset
        return claim, fold

    async def _read_from(self, offset: int) -> None:
        """Start fetching, for this life only."""
        self._enter(State.RESUMING)
        await self._reader.seek(offset, self._inbox.open())
        self._enter(State.FOLDING)

    async def _fold_until_revoked(self, claim: Claim, fold: Folds[Any]) -> None:
        while not self._is_revoked:
            await self._wait(self._flush_times.in_s(self._clock_s()))
            if self._inbox and not self._is_revoked:
                await self._take(claim, fold, self._inbox.take())
            if not self._flush_times.in_s(self._clock_s()):
                await self._flush(claim, fold)
        await self._flush(claim, fold)

    async def _wait(self, seconds: float) -> None:
        """Wait for something in the inbox, for revocation, or for a timeout."""
        if self._inbox or self._is_revoked or not seconds:
            await asyncio.sleep(0)  # let other partitions run
            return
        await self._inbox.wait(seconds)

    async def _take(self, claim: Claim, fold: Folds[Any], batch: RecordBatch | Exception) -> None:
        """Fold a batch; flush whenever the fold is full."""
        if isinstance(batch, Exception):
            if isinstance(batch, CorruptLogError):
                await self._flush(claim, fold)  # records before it count
            raise batch
        if batch.start != self._next_offset:
            raise NotContiguousError(
                f"{self._where()}: a fetch at {batch.start} followed one that ended at "
                f"{self._next_offset}"
            )
        await self._continuity.check_leader(batch)
        with self._spans.batch(batch):
            await self._take_pieces(claim, fold, batch)

    async def _take_pieces(self, claim: Claim, fold: Folds[Any], rest: RecordBatch) -> None:
        while rest.start < rest.end:
            piece, rest = rest.split(fold.records_at_once)
            await self._reject(piece, await fold.take(piece))
            self._next_offset = piece.end
            self._continuity.note(piece)
            metrics.RECORDS.labels(self.tp.topic).inc(len(piece))
            if fold.is_full:
                await self._flush(claim, fold)

    async def _reject(self, piece: RecordBatch, rejections: Sequence[Rejection]) -> None:
        """Publish a piece's dead letters; if it stops the partition, only those that show why."""
        n, bad = len(piece), piece.bad(rejections)
        places = [*(place for place, _ in rejections), *range(n, n + len(piece.unreadable))]
        try:
            self._bad_records.add(n + len(piece.unreadable), places)
        except TooManyBadRecordsError as stopped:
            await self._dead_letters.publish(self.tp, bad[: stopped.before + 1])
            await self._dead_letters.settled(self.tp)
            raise
        await self._dead_letters.publish(self.tp, bad)

    async def _flush(self, claim: Claim, fold: Folds[Any]) -> None:
        """Write what Redis does not have, then the position; nothing of a recreated topic."""
        now_s = self._clock_s()
        self._flush_times.written(now_s)
        if self._next_offset == claim.next_offset and not fold.is_due:
            return
        self._enter(State.FLUSHING)
        with self._spans.flush(self._next_offset - claim.next_offset) as counted:
            await self._write(claim, fold, counted)
        self._enter(State.FOLDING)

    async def _write(self, claim: Claim, fold: Folds[Any], counted: Counted) -> None:
        # What was fetched before the broker confirmed the id came from that topic.
        await self._log.check(self.tp.topic, claim.topic_id)
        unwritten = await fold.unwritten()
        await self._dead_letters.settled(self.tp)
        with metrics.FLUSH_SECONDS.labels(self.tp.topic).time():
            await claim.write(
                unwritten._replace(groups=counted(unwritten.groups)),
                self._next_offset,
                last=self._continuity.text(),
            )
        fold.written()

    def _enter(self, state: State) -> None:
        self.state, self.since_s = state, self._clock_s()

    def _end(self, state: State, why: Exception) -> None:
        self._enter(state)
        self.why = str(why)
        self._inbox.close()
        log.error("partition ended", **self._name(), state=str(state), why=self.why)

    def _name(self) -> dict[str, str | int]:
        return {"topic": self.tp.topic, "partition": self.tp.partition}

    def _where(self) -> str:
        return f"{self.tp.topic}/{self.tp.partition}"
