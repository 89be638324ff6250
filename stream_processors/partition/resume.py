"""Decides where to resume a partition that was just claimed: pure, from Redis and the log.

The rules, in order:

- Redis has no position: it lost everything, or never had one. Start at the log's beginning.
- The topic's id in Kafka differs from the position's: the topic was recreated. Raise the
  incarnation and start at the beginning. (Whether it is a copy with the same records was checked
  before, see `last_record`.)
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
from dataclasses import dataclass
from typing import Literal

from contracts.keyspace import INCARNATION_FIELD, NEXT_FIELD, TOPIC_ID_FIELD
from contracts.log_position import next_position
from stream_processors.transport.log import LogBounds

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
    def is_another_log(self) -> bool:
        """Whether new records may reuse offsets of others."""
        return self.starts_over or self.incident == "log lost its end"

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
