"""What holds for all partitions of a topic."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from contracts.topics import Topic
from stream_processors.partition.fold import Fold
from stream_processors.store.chunks import Group
from stream_processors.store.claims import Claim


def _nothing(_claim: Claim) -> Iterable[Group]:
    return ()


@dataclass(frozen=True, slots=True)
class Rules:
    """By what a topic is folded, and how often it is written."""

    topic: Topic
    partitions: int
    folding: str
    """the settings that bend what is stored, see `store.folding`"""
    flush_interval_s: float
    bad_records_max: float
    """the share of bad records above which a partition stops"""
    make_fold: Callable[[Claim], Fold]
    emptied: Callable[[Claim], Iterable[Group]] = _nothing
    """what to take out of Redis before a log is folded from its beginning; what was folded from a
    log that was not kept for good outlives it"""
