"""Where to read on in a partition that was just assigned: pure decisions, from Redis and the log.

The rules, in the order in which they are asked:

- Redis has no position: it lost everything, or never had any. Start at the log's beginning.
- Kafka gives the topic another id than the position has, or the position lies beyond the log's
  end: the topic was made anew, or its log was cut. Raise the incarnation and start at the
  beginning.
- The log no longer reaches back to the position: go on from its earliest record, and say how many
  are missing.
- Else read on at the position.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from contracts.keyspace import (
    EPOCH_FIELD,
    INCARNATION_FIELD,
    NEXT_FIELD,
    SOURCE_FIELD_PREFIX,
    TOPIC_ID_FIELD,
)
from contracts.topics import Topic
from stream_processors.transport import LogBounds

StartedOver = Literal["redis was empty", "topic was made anew"]


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a partition is read on, and what that means."""

    next_offset: int
    incarnation: int
    missing: int = 0
    """records between the position and the earliest one that the log still has"""
    started_over: StartedOver | None = None


def where_to_resume(position: Mapping[str, str], log: LogBounds, topic_id: str) -> Resume:
    """Decide by the position hash in Redis, the log's bounds and the topic's id.

    >>> position = {"next": "7", "incarnation": "0", "topic_id": "a"}
    >>> where_to_resume(position, LogBounds(earliest=0, end=9), "a")
    Resume(next_offset=7, incarnation=0, missing=0, started_over=None)
    >>> where_to_resume(position, LogBounds(earliest=0, end=3), "a")
    Resume(next_offset=0, incarnation=1, missing=0, started_over='topic was made anew')
    """
    if NEXT_FIELD not in position:
        return Resume(log.earliest, 0, started_over="redis was empty")
    next_offset = int(position[NEXT_FIELD])
    incarnation = int(position[INCARNATION_FIELD])
    if next_offset > log.end or position[TOPIC_ID_FIELD] != topic_id:
        return Resume(log.earliest, incarnation + 1, started_over="topic was made anew")
    if next_offset < log.earliest:
        return Resume(log.earliest, incarnation, missing=log.earliest - next_offset)
    return Resume(next_offset, incarnation)


@dataclass(slots=True)
class Claim:
    """A partition that this worker folds, until another one raises its epoch."""

    topic: Topic
    partition: int
    epoch: int
    incarnation: int
    next_offset: int
    """of the last flush: what Redis holds"""
    topic_id: str
    lineage: int
    """begun when Redis had no position, see `contracts.keyspace.LINEAGE_FIELD`"""
    stored_next: str
    """what Redis has in the position's field `next`, empty if nothing"""
    sources: dict[int, int] = field(default_factory=dict)
    """of cooccurrences: source partition -> mark of the last event whose changes were applied"""


def sources_of(position: Mapping[str, str]) -> dict[int, str]:
    """Return the `source:<p>` fields of a position hash by source partition."""
    return {
        int(name.removeprefix(SOURCE_FIELD_PREFIX)): value
        for name, value in position.items()
        if name.startswith(SOURCE_FIELD_PREFIX)
    }


def epoch_of(position: Mapping[str, str]) -> int:
    """Return the epoch of a position hash."""
    return int(position[EPOCH_FIELD])
