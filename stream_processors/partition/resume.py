"""Decides where to resume a partition that was just claimed, from Redis and the log.

The rules, in order:

- Redis has no position: it lost everything, or never had one. Start at the log's beginning.
- The topic's id in Kafka differs from the position's: the topic was recreated. Raise the
  incarnation and start at the beginning; but a topic that has the last folded record at its place
  may be a copy, which an operator must decide.
- The log no longer reaches back to the position: resume at its earliest record, and report how many
  are missing.
- The log, or its part from the last record's leader, ends before the position, and a fetch there
  was refused, or returned records of another leader: Kafka lost acknowledged records, as after an
  unclean leader election. What was folded stays; new records reuse offsets, so raise the
  incarnation and resume where the log was cut.
- Otherwise resume at the position. An end below it proves nothing: the broker asked may be behind,
  and Tansu 0.6 always reports an end that is too low.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final, Literal

import msgspec
import structlog
from aiokafka import ConsumerRecord
from faust.types import TP

from contracts.keyspace import INCARNATION_FIELD, LAST_FIELD, NEXT_FIELD, TOPIC_ID_FIELD
from contracts.log_position import next_position
from stream_processors import metrics
from stream_processors.store.store import Position
from stream_processors.transport.batches import UNKNOWN_EPOCH, RecordBatch
from stream_processors.transport.consumer_thread import PartitionReader
from stream_processors.transport.log import Log, LogBounds

log = structlog.get_logger()

Record = tuple[bytes | None, bytes | None]
"""Key and value."""
_DIGEST_BYTES: Final = 8


class CopiedTopicError(RuntimeError):
    """A topic has another id, but the same records: a copy, or the same ones published again?"""

    def __init__(self, topic: str, last: "LastRecord", known_id: str, found_id: str) -> None:
        super().__init__(
            f"the topic {topic} has the id {found_id}, but what is stored was folded from one with "
            f"the id {known_id}, which had the same record at offset {last.offset}. If this one is "
            f"a copy, as after a move to another broker, run `python -m operations.topics continue "
            f"{topic}`. If it was recreated and its records are to count on top of the old "
            f"ones, run `python -m operations.topics start-over {topic}`. Then restart the workers"
        )


@dataclass(frozen=True, slots=True)
class LastRecord:
    """The last folded record: its offset, a fingerprint, and the epoch of its leader.

    Without an offset: no record is known, at most the epoch.
    """

    offset: int = -1
    digest: str = ""
    leader_epoch: int = UNKNOWN_EPOCH

    @classmethod
    def of(cls, offset: int, record: Record, leader_epoch: int = UNKNOWN_EPOCH) -> "LastRecord":
        """Return what is stored of a record.

        >>> LastRecord.of(7, (b"4", b"{}"), leader_epoch=2).text
        '7:3f2259975dccd86b:2'
        """
        content = msgspec.msgpack.encode(record)
        return cls(offset, blake2b(content, digest_size=_DIGEST_BYTES).hexdigest(), leader_epoch)

    @classmethod
    def parse(cls, text: str) -> "LastRecord":
        """Parse `text`."""
        if not text:
            return cls()
        offset, digest, leader_epoch = text.split(":")
        return cls(int(offset), digest, int(leader_epoch))

    @property
    def text(self) -> str:
        """As stored in a position, empty if nothing is known."""
        return "" if self == LastRecord() else f"{self.offset}:{self.digest}:{self.leader_epoch}"

    def has(self, record: Record) -> bool:
        """Whether a record is the same one."""
        return LastRecord.of(self.offset, record).digest == self.digest


Incident = Literal["redis was empty", "topic was recreated", "log was cut", "log lost its end"]


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a partition resumes, and what that implies."""

    next_offset: int
    incarnation: int
    incident: Incident | None = None
    missing: int = 0
    """records between the position and the earliest one in the log"""

    @property
    def starts_over(self) -> bool:
        """Whether folding starts at the log's beginning."""
        return self.incident in ("redis was empty", "topic was recreated")

    @property
    def may_miss_records(self) -> bool:
        """Whether earlier records may not have been folded, or may be lost from Redis."""
        if self.incident == "redis was empty":
            return self.next_offset > 0
        return self.incident in ("topic was recreated", "log was cut")


def where_to_resume(
    position: Mapping[str, str],
    log: LogBounds,
    *,
    is_refused: bool,
    epoch_end: int | None = None,
) -> Resume:
    """Decide from the position hash in Redis and the log's bounds after the claim.

    Args:
        position: fields of `contracts.keyspace.Keyspace.position`.
        log: read after the epoch was raised, so nobody can have moved the position since.
        is_refused: whether the broker refused a fetch at the position as out of range.
        epoch_end: where the log of the last record's leader epoch ends, if it was requested and the
            broker knows it.

    >>> position = {"next": "7", "incarnation": "0", "topic_id": "a"}
    >>> where_to_resume(position, LogBounds("a", earliest=0, end=9), is_refused=False)
    Resume(next_offset=7, incarnation=0, incident=None, missing=0)
    >>> where_to_resume(position, LogBounds("b", earliest=0, end=9), is_refused=False)
    Resume(next_offset=0, incarnation=1, incident='topic was recreated', missing=0)
    """
    at = next_position(position.get(INCARNATION_FIELD), position.get(NEXT_FIELD))
    if at is None:
        return Resume(log.earliest, 0, "redis was empty")
    next_offset, incarnation = at.offset, at.incarnation
    if position[TOPIC_ID_FIELD] != log.topic_id:
        return Resume(log.earliest, incarnation + 1, "topic was recreated")
    if next_offset < log.earliest:
        return Resume(log.earliest, incarnation, "log was cut", log.earliest - next_offset)
    end = log.end if epoch_end is None else epoch_end
    if (is_refused or epoch_end is not None) and end < next_offset:
        return Resume(max(end, log.earliest), incarnation + 1, "log lost its end")
    return Resume(next_offset, incarnation)


def report(tp: TP, resume: Resume, end: int) -> None:
    """Report where a partition resumes, if not at its position.

    Args:
        tp: the partition.
        resume: where it resumes, and why.
        end: of the log.
    """
    if resume.missing:
        metrics.GAP.labels(tp.topic).inc(resume.missing)
    if resume.incident is None:
        return
    if resume.incident == "redis was empty" and not resume.may_miss_records:
        # Nothing is lost; most likely this is the first start.
        if end:
            log.info(
                "reading a partition from its beginning: Redis has no position yet",
                topic=tp.topic,
                partition=tp.partition,
                log_end=end,
            )
        return
    metrics.STARTED_OVER.labels(resume.incident).inc()
    say = log.error if resume.incident.startswith("log") else log.warning
    say(
        "partition does not resume at its position",
        topic=tp.topic,
        partition=tp.partition,
        why=resume.incident,
        goes_on_at=resume.next_offset,
        log_end=end,
        missing=resume.missing,
        incarnation=resume.incarnation,
    )


class LogLostItsEndError(RuntimeError):
    """A new leader does not have a folded record, but other records at its offset."""


class Continuity:
    """The last record of a partition, from one claim to the next."""

    def __init__(self, tp: TP, log: Log, reader: PartitionReader) -> None:
        self._tp = tp
        self._log = log
        self._reader = reader
        self._last = LastRecord()
        """but for what was folded since the claim"""
        self._record: ConsumerRecord[bytes | None, bytes | None] | None = None
        self._leader_epoch = UNKNOWN_EPOCH

    async def resume(self, position: Position, *, is_refused: bool) -> tuple[Resume, LogBounds]:
        """Decide where to resume a partition that was just claimed, and report it.

        Args:
            position: as it was at the claim: nobody has moved it since.
            is_refused: whether the broker refused a fetch at the position as out of range, or
                another leader has the log.

        Raises:
            CopiedTopicError: the topic has another id than the position, and the same records.
        """
        bounds = await self._log.bounds(*self._tp)
        last = LastRecord.parse(position.get(LAST_FIELD, ""))
        await self._check_copy(last, position.get(TOPIC_ID_FIELD), bounds)
        epoch_end = await self._end_of(last.leader_epoch) if is_refused else None
        resume = where_to_resume(position, bounds, is_refused=is_refused, epoch_end=epoch_end)
        report(self._tp, resume, bounds.end)
        self._last, self._record = _last_after(resume, last, epoch_end), None
        self._leader_epoch = self._last.leader_epoch
        return resume, bounds

    async def _check_copy(self, last: LastRecord, known_id: str | None, bounds: LogBounds) -> None:
        if known_id in (None, bounds.topic_id) or not bounds.earliest <= last.offset < bounds.end:
            return
        record = await self._log.record(*self._tp, last.offset)
        if record is not None and last.has(record):
            raise CopiedTopicError(self._tp.topic, last, known_id, bounds.topic_id)

    async def check_leader(self, batch: RecordBatch) -> None:
        """Check that the last folded record is in the log that the next batch comes from.

        Raises:
            LogLostItsEndError: it is not.
        """
        if batch.leader_epoch == UNKNOWN_EPOCH:
            return
        if batch.leader_epoch > self._leader_epoch:
            end = await self._end_of(self._leader_epoch)
            if end is not None and end < batch.start:
                raise LogLostItsEndError(
                    f"{self._tp.topic}/{self._tp.partition} was folded up to {batch.start}, from a "
                    f"leader of epoch {self._leader_epoch}, whose log ends at {end} in that of "
                    f"epoch {batch.leader_epoch}, which leads now"
                )
        self._leader_epoch = batch.leader_epoch

    def note(self, piece: RecordBatch) -> None:
        """Note what was folded."""
        if piece.records:
            self._record = piece.records[-1]

    def text(self) -> str:
        """Return what a position stores of the last record."""
        if self._record is None:
            return replace(self._last, leader_epoch=self._leader_epoch).text
        record = self._record.key, self._record.value
        return LastRecord.of(self._record.offset, record, self._leader_epoch).text

    async def _end_of(self, epoch: int) -> int | None:
        return None if epoch == UNKNOWN_EPOCH else await self._reader.epoch_end(epoch)


def _last_after(resume: Resume, last: LastRecord, epoch_end: int | None) -> LastRecord:
    """Return what is still known of the last record: where a leader's log was cut, its epoch."""
    if resume.incident is None:
        return last
    if resume.incident == "log lost its end" and resume.next_offset == epoch_end:
        return LastRecord(leader_epoch=last.leader_epoch)
    return LastRecord()
