"""Rules for all partitions of a topic."""

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
    """How a topic is folded, and how often it is written."""

    topic: Topic
    partitions: int
    folding: str
    """the settings that affect stored state, see `store.folding`"""
    flush_interval_s: float
    bad_records_max: float
    """the share of bad records above which a partition stops"""
    make_fold: Callable[[Claim], Fold]
    emptied: Callable[[Claim], Iterable[Group]] = _nothing
    """what to delete from Redis before a log is folded from its beginning; state folded from a log
    with limited retention is kept"""
