"""Checks whether a log still has, at its place, the record that a partition folded last."""

from typing import Protocol

from aiokafka import ConsumerRecord
from faust.types import TP

from contracts.keyspace import TOPIC_ID_FIELD
from stream_processors.partition.last_record import (
    CopiedTopicError,
    LastRecord,
    last_in,
    to_compare,
)
from stream_processors.store.store import Position
from stream_processors.transport.batches import UNKNOWN_EPOCH, RecordBatch
from stream_processors.transport.log import Log, LogBounds


class LogLostItsEndError(RuntimeError):
    """A new leader does not have a folded record, but other records at its offset."""


class Leaders(Protocol):
    """Information about the leaders of a partition."""

    async def epoch_end(self, tp: TP, epoch: int) -> int | None:
        """Return the current end of a leader epoch's log, None if the leader does not know it."""


class Continuity:
    """The last record of a partition, from one claim to the next."""

    def __init__(self, tp: TP, log: Log, leaders: Leaders) -> None:
        """Take the partition, and the clients to ask."""
        self._tp = tp
        self._log = log
        self._leaders = leaders
        self._record: ConsumerRecord[bytes | None, bytes | None] | None = None
        self._leader_epoch = UNKNOWN_EPOCH

    async def check_topic(self, position: Position, bounds: LogBounds) -> None:
        """Check that the topic has the position's id, or other records.

        Raises:
            CopiedTopicError: neither.
        """
        last = to_compare(position, bounds)
        if last is None:
            return
        record = await self._log.record(*self._tp, last.offset)
        if record is not None and last.has(record):
            raise CopiedTopicError(self._tp.topic, last, position[TOPIC_ID_FIELD], bounds.topic_id)

    async def epoch_end(self, position: Position) -> int | None:
        """Return the end of the log of the leader epoch of a position's last record.

        None if that is unknown.
        """
        last = last_in(position)
        return None if last is None else await self._end_of(last.leader_epoch)

    def begin(self, last: str) -> None:
        """Load the last record from the position of a new claim."""
        self._record = None
        self._leader_epoch = LastRecord.parse(last).leader_epoch if last else UNKNOWN_EPOCH

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

    def text(self) -> str | None:
        """Return what a position stores of the last record; None if none was folded since."""
        if self._record is None:
            return None
        record = self._record.key, self._record.value
        return LastRecord.of(self._record.offset, record, self._leader_epoch).text

    async def _end_of(self, epoch: int) -> int | None:
        return None if epoch == UNKNOWN_EPOCH else await self._leaders.epoch_end(self._tp, epoch)
