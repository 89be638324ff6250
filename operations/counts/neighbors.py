"""The items that users have together with an item, by their counts in Redis.

About half of an item's pairs are in its own row, which is read whole. Each of the others is a field
of another item's row: one command for about half of all items.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from contracts.keyspace import NOT_ITEMS, Keyspace
from contracts.partitioning import instrument_partition, row_of
from runtime.redis.stores import Store
from runtime.topology import Topology

_ITEMS_AT_ONCE: Final = 1_000


class NoCountsError(RuntimeError):
    """There are no counts of the item."""


class Neighbors(NamedTuple):
    """What an item's pairs are."""

    own: float
    """G[item, item]: in mode `binary`, how many users have the item"""
    counts: dict[int, float]
    """other item -> G of both, the greatest count first, then the lesser id"""


def neighbors(store: Store, keyspace: Keyspace, item: int) -> Neighbors:
    """Return all pairs of an item.

    Raises:
        NoCountsError: no user has the item.
        runtime.topology.TopologyError: the namespace has no topics.
    """
    noted: Any = store.hgetall(keyspace.topics())
    partitions = Topology.from_hash(noted).cooccurrences
    partition = instrument_partition(item, partitions)
    key = keyspace.cooc(partition, item)
    row: Any = store.hgetall(key)
    counts = {int(j): float(count) for j, count in row.items() if j not in NOT_ITEMS}
    if item not in counts:
        raise NoCountsError(f"item {item} has no counts, as no user has it: {key} is not there")
    own = counts.pop(item)
    for p in range(partitions):
        counts |= _in_other_rows(store, keyspace, p, item)
    return Neighbors(own, dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))))


def _in_other_rows(store: Store, keyspace: Keyspace, partition: int, item: int) -> dict[int, float]:
    """Return the item's counts in the rows of a partition's items, without its own."""
    rows = _rows_with(store, keyspace, partition, item)
    counts: dict[int, float] = {}
    while some := list(islice(rows, _ITEMS_AT_ONCE)):
        pipeline = store.pipeline(transaction=False)
        for other in some:
            pipeline.hget(keyspace.cooc(partition, other), str(item))
        found = zip(some, pipeline.execute(), strict=True)
        counts |= {other: float(count) for other, count in found if count is not None}
    return counts


def _rows_with(store: Store, keyspace: Keyspace, partition: int, item: int) -> Iterator[int]:
    """Yield a partition's items in whose rows a pair with the item would be."""
    for member in store.sscan_iter(keyspace.items(partition), count=_ITEMS_AT_ONCE):
        other = int(member)
        if other != item and row_of(item, other) == other:
            yield other
