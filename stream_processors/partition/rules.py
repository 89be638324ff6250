"""Rules for all partitions of a topic: how it is folded, and when each is written. Pure.

Writing all partitions at once would block the worker, Redis and its readers for a quarter of a
second; and the last one would have to wait for all the others.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from contracts.topics import Topic
from stream_processors.partition.fold import Folds
from stream_processors.store.claims import Claim
from stream_processors.store.store import folding_text

_ROUNDING: Final = 1e-6
"""Share of an interval: a write that begins just when due is not due again at once."""


class FlushTimes:
    """The moments at which one of n partitions writes."""

    def __init__(self, interval_s: float, partition: int, partitions: int) -> None:
        self._interval_s = interval_s
        self._phase_s = interval_s * partition / partitions
        self._due_s = -math.inf

    def in_s(self, now_s: float) -> float:
        """Return the seconds until the next write, 0 if it is due.

        >>> times = FlushTimes(1.0, partition=1, partitions=4)
        >>> times.in_s(10.0), times.written(10.0), times.in_s(10.1)
        (0.0, None, 0.15000000000000036)
        """
        return max(0.0, self._due_s - now_s)

    def written(self, now_s: float) -> None:
        """Note a write that began at `now_s`; it schedules the next one."""
        past = math.floor((now_s - self._phase_s) / self._interval_s + _ROUNDING)
        self._due_s = (past + 1) * self._interval_s + self._phase_s


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
    """the settings that affect stored state, see `store.store`"""
    index: Callable[[int], str] | None = None
    """the key of the set that indexes a partition's users, items or open bars, if it has one"""
