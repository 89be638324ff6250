"""One partition, from assignment to revocation: its states, and what leads from one to another.

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
`hungry`. All steps are sequential, so neither this class nor a fold needs a lock. What is done with
the records is in `stream_processors.partition.folding`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from faust.types import TP

from contracts.changes import UnknownVersionError
from stream_processors import metrics
from stream_processors.partition.dead_letters import DeadLetters, TooManyBadRecordsError
from stream_processors.partition.folding import Folding, NotContiguousError
from stream_processors.partition.inbox import Inbox
from stream_processors.partition.resume import Continuity, CopiedTopicError, LogLostItsEndError
from stream_processors.partition.rules import Rules
from stream_processors.partition.spans import UNRECORDED, Unrecorded
from stream_processors.partition.state import State
from stream_processors.patience import WAITS, Waits
from stream_processors.store.claims import Claim, FencedError, StoreWentBackError
from stream_processors.store.store import Store
from stream_processors.transport.consumer_thread import PartitionReader
from stream_processors.transport.fetched import CorruptLogError
from stream_processors.transport.log import Log, TopicRecreatedError

log = structlog.get_logger()

# The cause may persist: a broker that is behind, a topic that is being created.
_RESTART_AFTER_S: Final = 0.5
# Data damaged in transit, or on the disk of one replica, may be intact the next time.
_CORRUPT_FETCHES: Final = 3


class FetchRefusedError(RuntimeError):
    """The broker has no record at the fetch offset."""


class Partition:
    """The life of one assigned partition."""

    def __init__(
        self,
        rules: Rules,
        number: int,
        *,
        store: Store,
        log: Log,
        reader: PartitionReader,
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
        self._reader = reader
        self._clock_s = clock_s
        self.inbox = Inbox()
        """what the transport fetched for it"""
        self._is_revoked = False
        self._continuity = Continuity(self.tp, log, reader)
        self._folding = Folding(
            rules,
            self.tp,
            log=log,
            dead_letters=dead_letters,
            continuity=self._continuity,
            spans=spans,
            clock_s=clock_s,
            enter=self._enter,
        )
        self._corrupt = -1, 0
        """the offset where the log was last corrupt, and in how many fetches"""

    @property
    def is_hungry(self) -> bool:
        """Whether to fetch records for it."""
        return self.state in (State.FOLDING, State.FLUSHING) and self.inbox.has_room

    @property
    def flushed_offset(self) -> int | None:
        """The position in Redis, None before the claim."""
        claim = self._folding.claim
        return None if claim is None else claim.next_offset

    @property
    def folded_offset(self) -> int:
        """The offset after the last folded record, in memory or in Redis; 0 before the claim."""
        return self._folding.next_offset

    def revoke(self) -> None:
        """Have the task write what it has folded, and end."""
        self._is_revoked = True
        self.inbox.wake()

    async def run(self) -> None:
        """Live until the partition is revoked, replaced or stopped.

        Raises:
            Exception: any that a restart of the worker may fix.
        """
        WAITS.set(self.waits)
        is_refused = False
        while not self._is_revoked:
            try:
                await self._begin(is_refused=is_refused)
                self._enter(State.RESUMING)
                await self._reader.seek(self.folded_offset, self.inbox.open())
                self._enter(State.FOLDING)
                await self._fold_until_revoked()
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
        self._corrupt = self.folded_offset, fetches + 1 if at == self.folded_offset else 1
        return self._corrupt[1] == _CORRUPT_FETCHES

    async def _begin(self, *, is_refused: bool) -> None:
        """Claim the partition, decide where to resume, and make its fold.

        In this order: once the epoch is raised, nobody else moves the position, so the log's bounds
        are at least as new as the position that they are compared with.
        """
        self._enter(State.CLAIMING)
        self.inbox.close()
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
        self._folding.begin(claim, fold)

    async def _fold_until_revoked(self) -> None:
        while not self._is_revoked:
            await self._wait(self._folding.flush_in_s)
            if self.inbox and not self._is_revoked:
                await self._folding.take(self.inbox.take())
            if not self._folding.flush_in_s:
                await self._folding.flush()
        await self._folding.flush()

    async def _wait(self, seconds: float) -> None:
        """Wait for something in the inbox, for revocation, or for a timeout."""
        if self.inbox or self._is_revoked or not seconds:
            await asyncio.sleep(0)  # let other partitions run
            return
        await self.inbox.wait(seconds)

    def _enter(self, state: State) -> None:
        self.state, self.since_s = state, self._clock_s()

    def _end(self, state: State, why: Exception) -> None:
        self._enter(state)
        self.why = str(why)
        self.inbox.close()
        log.error("partition ended", **self._name(), state=str(state), why=self.why)

    def _name(self) -> dict[str, str | int]:
        return {"topic": self.tp.topic, "partition": self.tp.partition}
