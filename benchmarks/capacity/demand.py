"""The demand on a deployment: a feed, an audience, and their totals. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.times import DAY_S
from contracts.topics import QUOTES

READS: Final = ("bars", "similar", "recommendations")
POINTED: Final = ("similar", "recommendations")
"""Read `model:current`, too, which is cached for some milliseconds and in one shard."""
PUBLISH: Final = "publish"
"""A trade that a user publishes over HTTP: a quote and an event."""
_POPULARITY: Final = 0.8
"""exponent of Zipf's law, as in `benchmarks.interactions`"""
_RANKS: Final = 400
"""groups of items of about the same popularity"""


@dataclass(frozen=True, slots=True)
class Demand:
    """A feed and an audience, who each call all four endpoints as often."""

    quotes_per_s: float
    instruments: int
    users: float
    """who come in a day, and whose histories are kept"""
    calls: float
    """a user makes to each endpoint in a day"""
    peak: float
    """times the mean, in the busiest hour"""
    items: float
    """of a user's history, on average"""

    @property
    def calls_per_s(self) -> float:
        """Calls a second to all endpoints, on average over the day.

        >>> round(Demand(0, 1, users=100e6, calls=10, peak=3, items=50).calls_per_s)
        46296
        """
        return self.users * self.calls * len((*READS, PUBLISH)) / DAY_S

    @property
    def peak_calls_per_s(self) -> float:
        """Calls a second to all endpoints in the busiest hour."""
        return self.calls_per_s * self.peak

    @property
    def of_each_per_s(self) -> float:
        """Calls a second to one endpoint in the busiest hour; trades are events."""
        return self.peak_calls_per_s / len((*READS, PUBLISH))

    @property
    def published_quotes_per_s(self) -> float:
        """Quotes a second of the feed and of trades, in the busiest hour."""
        return self.quotes_per_s + self.of_each_per_s

    @property
    def quotes_a_day(self) -> float:
        """Quotes of the feed, which never rests, and of trades."""
        return self.quotes_per_s * DAY_S + self.users * self.calls

    @property
    def events_a_day(self) -> float:
        """Trades that users publish."""
        return self.users * self.calls


def distinct(records: float, values: float) -> float:
    """Return how many values are changed by records that go round all of them in a new order.

    A window of x rounds meets parts of two rounds that have nothing to do with each other; this is
    the mean over where it begins.

    >>> distinct(500, 1_000), round(distinct(1_000, 1_000)), distinct(3_000, 1_000)
    (479.1666666666667, 833, 1000.0)
    """
    if not values:
        return 0.0
    rounds = min(records / values, 2.0)
    part = rounds - rounds**3 / 6 if rounds <= 1 else 1 - (2 - rounds) ** 3 / 6
    return values * part


def entries_of_pairs(instruments: float, users: float, items: float) -> float:
    """Return how many counts are stored: pairs of different items that any user has both of.

    Items are chosen by Zipf's law, independently: a pair is missing with the probability that no
    user has it, exp(-users x expected a x expected b), as for a Poisson number of them.

    >>> round(entries_of_pairs(100, users=1e9, items=50))
    5000
    >>> entries_of_pairs(100, users=0, items=50)
    0.0
    """
    edges = np.unique(np.geomspace(1, instruments + 1, _RANKS).round())
    ranks, sizes = edges[:-1], np.diff(edges)
    weight = ranks**-_POPULARITY
    expected = np.minimum(1.0, items * weight / (weight * sizes).sum())
    present = -np.expm1(-users * np.outer(expected, expected))
    return float((present * np.outer(sizes, sizes)).sum()) / 2


def share_of_hottest(instruments: int) -> float:
    """Return which share of events the most popular instrument has, by Zipf's law.

    >>> round(share_of_hottest(50_000), 4)
    0.0256
    """
    return float(1 / (np.arange(1, instruments + 1) ** -_POPULARITY).sum())


def partitions_for(machines: int) -> int:
    """Return how many partitions keep so many workers, or shards, busy: two each, a power of two.

    >>> [partitions_for(n) for n in (1, 4, 5, 40)]
    [8, 8, 16, 128]
    """
    partitions = QUOTES.partitions
    while partitions < 2 * machines:
        partitions *= 2
    return partitions
