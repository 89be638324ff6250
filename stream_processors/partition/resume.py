"""Where to read on in a partition that was just claimed: pure decisions, from Redis and the log.

The rules, in the order in which they are asked:

- Redis has no position: it lost everything, or never had any. Start at the log's beginning.
- Kafka gives the topic another id than the position has: the topic was made anew. Raise the
  incarnation and start at the beginning. (Whether it is a copy with the same records was asked
  before, see `last_record`.)
- The log no longer reaches back to the position: go on from its earliest record, and say how many
  are missing.
- The log, or what it has of the leader that the last record came from, ends before the position,
  and a fetch there was refused, or brought records of another leader: Kafka lost what it had
  acknowledged, as after an unclean leader election. What was folded stays; new records get offsets
  that were used before, so raise the incarnation and go on where the log was cut.
- Else read on at the position. An end below it means nothing by itself: it may have been asked of a
  broker that is behind, and Tansu 0.6 always tells one that is too low.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from contracts.keyspace import INCARNATION_FIELD, NEXT_FIELD, TOPIC_ID_FIELD
from stream_processors.transport.log import LogBounds

Incident = Literal["redis was empty", "topic was made anew", "log was cut", "log lost its end"]


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a partition is read on, and what that means."""

    next_offset: int
    incarnation: int
    incident: Incident | None = None
    missing: int = 0
    """records between the position and the earliest one that the log still has"""

    @property
    def is_another_log(self) -> bool:
        """Whether records may come to stand at offsets that others had."""
        return self.starts_over or self.incident == "log lost its end"

    @property
    def starts_over(self) -> bool:
        """Whether the log is folded from its beginning."""
        return self.incident in ("redis was empty", "topic was made anew")

    @property
    def may_miss_records(self) -> bool:
        """Whether there may have been records before that nobody folded, or Redis has no more."""
        if self.incident == "redis was empty":
            return self.next_offset > 0
        return self.incident in ("topic was made anew", "log was cut")


def where_to_resume(
    position: Mapping[str, str],
    log: LogBounds,
    *,
    is_refused: bool,
    epoch_end: int | None = None,
) -> Resume:
    """Decide by the position hash in Redis and the log as it was after the partition was claimed.

    Args:
        position: fields of `contracts.keyspace.Keyspace.position`.
        log: asked for after the epoch was raised, so nobody can have moved the position since.
        is_refused: whether the broker refused a fetch at the position as out of range.
        epoch_end: where the log of the leader ends that the last record came from, if it was asked
            for and the broker knows.

    >>> position = {"next": "7", "incarnation": "0", "topic_id": "a"}
    >>> where_to_resume(position, LogBounds("a", earliest=0, end=9), is_refused=False)
    Resume(next_offset=7, incarnation=0, incident=None, missing=0)
    >>> where_to_resume(position, LogBounds("b", earliest=0, end=9), is_refused=False)
    Resume(next_offset=0, incarnation=1, incident='topic was made anew', missing=0)
    """
    if NEXT_FIELD not in position:
        return Resume(log.earliest, 0, "redis was empty")
    next_offset, incarnation = int(position[NEXT_FIELD]), int(position[INCARNATION_FIELD])
    if position[TOPIC_ID_FIELD] != log.topic_id:
        return Resume(log.earliest, incarnation + 1, "topic was made anew")
    if next_offset < log.earliest:
        return Resume(log.earliest, incarnation, "log was cut", log.earliest - next_offset)
    end = log.end if epoch_end is None else epoch_end
    if (is_refused or epoch_end is not None) and end < next_offset:
        return Resume(max(end, log.earliest), incarnation + 1, "log lost its end")
    return Resume(next_offset, incarnation)
