"""Rules for all partitions of a topic."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contracts.topics import Topic
from stream_processors.partition.fold import Folds
from stream_processors.store.claims import Claim
from stream_processors.store.folding import folding_text


@dataclass(frozen=True, slots=True)
class Rules:
    """How a topic is folded, and how often it is written."""

    topic: Topic
    partitions: int
    flush_interval_s: float
    bad_records_max: float
    """the share of bad records above which a partition stops"""
    make_folds: Callable[[Claim], Folds[Any]]
    folding: str = folding_text({})
    """the settings that affect stored state, see `store.folding`"""
    index: Callable[[int], str] | None = None
    """the key of the set that indexes a partition's users, items or open bars, if it has one"""
