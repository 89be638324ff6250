"""A topic from a worker's view: its rate, and the cost of folding and writing it. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.capacity.costs import Costs

EVENT_BYTES: Final = 100.0


@dataclass(frozen=True, slots=True)
class Stream:
    """A topic, spread over its partitions."""

    name: str
    per_s: float
    """records that come a second"""
    shares: Sequence[float]
    """of the records that each partition gets; they add up to 1"""
    values: float
    """that records can change: instruments of all partitions; 0: each record changes one"""
    record_us: float
    batch_us: float
    value_us: float
    store_value_us: float
    broker_us: float
    record_bytes: float
    call_us: float
    """of Redis, that one call of a script may take"""
    flush_interval_s: float = 1.0
    backlog: float = 0.0
    """records that are in the log beforehand"""

    def changed(self, partition: int, records: float) -> float:
        """Return how many values so many records of a partition change."""
        values = self.values * self.shares[partition]
        return distinct(records, values) if self.values else records

    def seen(self, partition: int, records: float) -> float:
        """Return how many values were read from Redis, of all that so many records change."""
        return min(records, self.values * self.shares[partition])

    @property
    def values_a_call(self) -> float:
        """How many values one call of a script takes."""
        return max(1.0, self.call_us / self.store_value_us) if self.store_value_us else math.inf


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


def quotes(
    costs: Costs, per_s: float, instruments: float, shares: Sequence[float], backlog: float = 0.0
) -> Stream:
    """Return the stream of quotes, `per_s` of them a second."""
    feed = costs.feed
    return Stream(
        name="quotes",
        per_s=per_s,
        shares=shares,
        values=instruments,
        record_us=feed.record_us,
        batch_us=feed.batch_us,
        value_us=feed.value_us,
        store_value_us=feed.store_value_us,
        broker_us=feed.broker_us,
        record_bytes=feed.log_bytes,
        call_us=feed.store_call_us,
        backlog=backlog,
    )


def interactions(costs: Costs, per_s: float, items: float, shares: Sequence[float]) -> Stream:
    """Return the stream of events of users with so many items, their counts included.

    What the changes of counts take of worker and Redis is counted with the event that makes them.
    """
    events = costs.events
    return Stream(
        name="interactions",
        per_s=per_s,
        shares=shares,
        values=0,
        record_us=events.worker_us + events.worker_item_us * items,
        batch_us=costs.feed.batch_us,
        value_us=0.0,
        store_value_us=events.store_us + events.store_item_us * items,
        broker_us=events.broker_us,
        record_bytes=EVENT_BYTES,
        call_us=costs.feed.store_call_us,
    )


def evenly(partitions: int) -> tuple[float, ...]:
    """Return equal shares.

    >>> evenly(4)
    (0.25, 0.25, 0.25, 0.25)
    """
    return (1 / partitions,) * partitions
