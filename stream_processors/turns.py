"""Whose turn it is, and when: each once an interval, evenly spread over it. Pure.

All partitions written at once keep the worker, Redis and its readers waiting for a quarter of a
second; and what is written last has waited for all the others.
"""

from collections.abc import Collection
from typing import NamedTuple


class Turn(NamedTuple):
    """One partition's."""

    partition: int
    in_s: float
    """seconds until it begins; 0 if it should have begun"""


class Turns:
    """Gives turns to partitions, the set of which may change between any two of them.

    Turns are spaced from beginning to beginning. What took longer than its share makes the next
    ones due at once, until the plan is caught up with; more than an interval is not made up for.
    """

    def __init__(self, interval_s: float, now_s: float) -> None:
        self._interval_s = interval_s
        self._due_s = now_s
        self._number = 0
        self._last: dict[int, int] = {}

    def next(self, partitions: Collection[int], now_s: float) -> Turn:
        """Return the turn of the one whose last turn is the longest ago, new ones first.

        Args:
            partitions: of now, at least one.
            now_s: monotonic, seconds.
        """
        share_s = self._interval_s / len(partitions)
        self._due_s = max(self._due_s + share_s, now_s - self._interval_s)
        self._last = {one: self._last.get(one, 0) for one in partitions}
        self._number += 1
        partition = min(partitions, key=self._last.__getitem__)
        self._last[partition] = self._number
        return Turn(partition, max(0.0, self._due_s - now_s))
