"""Where a partition resumes, by the table's position and what the broker says. Pure."""

from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from runtime.archive.positions import Position

Why = Literal["first", "goes on", "recreated", "lost its end", "dropped records"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the broker says of a partition."""

    topic_id: str
    earliest: int
    end: int
    partitions: int
    """of the topic"""


@dataclass(frozen=True, slots=True)
class Resumed:
    """From where a partition is read."""

    at: Position
    why: Why
    missing: int = 0
    """records between the table's position and there, which the log had dropped"""


def resume(before: Position | None, bounds: Bounds, *, is_refused: bool = False) -> Resumed:
    """Return from where a partition is read.

    Args:
        before: the table's position.
        bounds: what the broker says.
        is_refused: whether a fetch at the position was refused. Only that proves that the log
            ends before it, as the end that the broker reports may be too low.
    """
    topic_id, earliest, now = bounds.topic_id, bounds.earliest, (bounds.partitions,)
    if before is None:
        return Resumed(Position(topic_id, 0, earliest, now), "first")
    if before.topic_id != topic_id:
        # What it may have dropped before we came is missing as well.
        return Resumed(Position(topic_id, before.log + 1, earliest, now), "recreated", earliest)
    # If the topic got more partitions since, records from before that are still to come.
    if before.next < earliest:
        return Resumed(replace(before, next=earliest), "dropped records", earliest - before.next)
    if is_refused and before.next > bounds.end:
        # Other records may get offsets that the table already has: that is another log.
        return Resumed(replace(before, log=before.log + 1, next=bounds.end), "lost its end")
    return Resumed(before, "goes on")
