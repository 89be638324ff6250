"""What a partition does with its records: folds them, and flushes the result to Redis.

`stream_processors.partition.life` decides when, and what follows if it fails.
"""

from collections.abc import Callable, Sequence
from typing import Any

from faust.types import TP

from contracts.messages import Rejection
from stream_processors import metrics
from stream_processors.partition.dead_letters import BadRecords, DeadLetters, TooManyBadRecordsError
from stream_processors.partition.fold import Folds
from stream_processors.partition.resume import Continuity
from stream_processors.partition.rules import FlushTimes, Rules
from stream_processors.partition.spans import Unrecorded
from stream_processors.partition.state import State
from stream_processors.store.chunks import Unwritten
from stream_processors.store.claims import Claim
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.fetched import CorruptLogError
from stream_processors.transport.log import Log


class NotContiguousError(RuntimeError):
    """A batch does not begin where the previous one ended: records in between would be lost."""


class Folding:
    """The records of one partition, under the claim that it has."""

    def __init__(
        self,
        rules: Rules,
        tp: TP,
        *,
        log: Log,
        dead_letters: DeadLetters,
        continuity: Continuity,
        spans: Unrecorded,
        clock_s: Callable[[], float],
        enter: Callable[[State], None],
    ) -> None:
        self.claim: Claim | None = None
        self.next_offset = 0
        """after the last folded record, in memory or in Redis"""
        self._tp = tp
        self._log = log
        self._dead_letters = dead_letters
        self._continuity = continuity
        self._spans = spans
        self._clock_s = clock_s
        self._enter = enter
        self._bad_records_max = rules.bad_records_max
        self._flush_times = FlushTimes(rules.flush_interval_s, tp.partition, rules.partitions)

    def begin(self, claim: Claim, fold: Folds[Any]) -> None:
        """Go on from a new claim, with its fold."""
        self.claim, self._fold, self.next_offset = claim, fold, claim.next_offset
        self._bad_records = BadRecords(self._bad_records_max)

    @property
    def flush_in_s(self) -> float:
        """The seconds until the next flush, 0 if it is due."""
        return self._flush_times.in_s(self._clock_s())

    async def take(self, batch: RecordBatch | Exception) -> None:
        """Fold a batch, and flush whenever the fold is full; raise the error of a fetch.

        Raises:
            NotContiguousError: records are missing before the batch.
        """
        if isinstance(batch, Exception):
            if isinstance(batch, CorruptLogError):
                await self.flush()  # records before it count
            raise batch
        if batch.start != self.next_offset:
            raise NotContiguousError(
                f"{self._tp.topic}/{self._tp.partition}: a fetch at {batch.start} followed one "
                f"that ended at {self.next_offset}"
            )
        await self._continuity.check_leader(batch)
        with self._spans.batch(batch):
            while batch.start < batch.end:
                piece, batch = batch.split(self._fold.records_at_once)
                await self._reject(piece, await self._fold.take(piece))
                self.next_offset = piece.end
                self._continuity.note(piece)
                metrics.RECORDS.labels(self._tp.topic).inc(len(piece))
                if self._fold.is_full:
                    await self.flush()

    async def _reject(self, piece: RecordBatch, rejections: Sequence[Rejection]) -> None:
        """Publish a piece's dead letters; if it stops the partition, only those that show why."""
        n, bad = len(piece), piece.bad(rejections)
        places = [*(place for place, _ in rejections), *range(n, n + len(piece.unreadable))]
        try:
            self._bad_records.add(n + len(piece.unreadable), places)
        except TooManyBadRecordsError as stopped:
            await self._dead_letters.publish(bad[: stopped.before + 1])
            await self._dead_letters.settled()
            raise
        await self._dead_letters.publish(bad)

    async def flush(self) -> None:
        """Write what Redis does not have, then the position; nothing of a recreated topic."""
        self._flush_times.written(self._clock_s())
        claim = self.claim
        if not claim or (self.next_offset == claim.next_offset and not self._fold.is_due):
            return
        self._enter(State.FLUSHING)
        with self._spans.flush(self.next_offset - claim.next_offset) as counted:
            # What was fetched before the broker confirmed the id came from that topic.
            await self._log.check(self._tp.topic, claim.topic_id)
            groups, fields, channel = await self._fold.unwritten()
            await self._dead_letters.settled()
            unwritten = Unwritten(counted(groups), fields, channel)
            with metrics.FLUSH_SECONDS.labels(self._tp.topic).time():
                await claim.write(unwritten, self.next_offset, last=self._continuity.text())
            self._fold.written()
        self._enter(State.FOLDING)
