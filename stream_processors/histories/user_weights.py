"""A user's weight relative to others: a scale of all affinities of a history. Pure.

A scale depends on the history alone, so a replay computes the same one.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from contracts.affinities import FURTHEST_VALUE
from stream_processors.histories.history import History


class UserWeight(Protocol):
    """Computes a user's scale."""

    def note(self, history: History, place: int, value: float) -> None:
        """Note the value, NaN if it has none, of a transaction of the item at an index."""

    def scale(self, history: History) -> float:
        """Return the scale of a history, which already has the event's item."""


@dataclass(frozen=True, slots=True)
class InverseDegree:
    """Scale `degree^-exponent`: each item of a user with many items counts less.

    With exponent 1/2 a pair of items counts 1/n for a user of n items, nearly as in Newman,
    "Scientific collaboration networks. II", Phys. Rev. E 64, 2001, where a pair of a paper's n
    authors counts 1/(n - 1).

    >>> history = History.empty(scaled=True)
    >>> for item in range(16):
    ...     history.add(item, 1.0, ts_ms=0)
    >>> InverseDegree(0.5).scale(history)
    0.25
    """

    exponent: float

    def note(self, history: History, place: int, value: float) -> None:
        """Do nothing: values do not count."""

    def scale(self, history: History) -> float:
        """Return the scale of a user with that many items."""
        return float(len(history) ** -self.exponent)


@dataclass(frozen=True, slots=True)
class MeanValue:
    """Scale `(mean value / typical value)^exponent`, the mean of all transactions with a value.

    Items that left the history no longer count in the mean. Without values, the scale is 1.
    """

    exponent: float
    typical_value: float

    def note(self, history: History, place: int, value: float) -> None:
        """Add the value to the item's sum."""
        if math.isnan(value):
            return
        least, most = self.typical_value / FURTHEST_VALUE, self.typical_value * FURTHEST_VALUE
        history.entries["total"][place] += min(max(value, least), most)
        history.entries["n_values"][place] += 1

    def scale(self, history: History) -> float:
        """Return the scale at the mean so far."""
        n = int(history.entries["n_values"].sum())
        if not n:
            return 1.0
        # The exact sum, rounded once, is independent of the order of items in Redis.
        mean = math.fsum(history.entries["total"].tolist()) / n
        return float((mean / self.typical_value) ** self.exponent)
