"""The pairs of an item are found, in any row."""

import numpy as np
import pytest

from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition
from contracts.topics import STREAMED
from operations.counts.neighbors import neighbors
from runtime.redis.stores import Store
from runtime.topology import Topology
from tests.oracles.gram import gram_of_histories, stored_once

PARTITIONS = 3
ITEMS = [0, 1, 4, 7, 8, 250, 2**40, 2**63 - 1]


@pytest.fixture
def whole(store: Store, keyspace: Keyspace) -> dict[tuple[int, int], float]:
    """G of some histories; it is stored."""
    random = np.random.default_rng(0)
    histories = [
        {i: float(random.integers(1, 4)) for i in random.choice(ITEMS, 3).tolist()} for _ in "12345"
    ]
    whole = gram_of_histories(histories)
    topology = Topology(**{topic.name: PARTITIONS for topic in STREAMED})
    store.hset(keyspace.topics(), mapping=topology.as_hash())
    for (i, j), count in stored_once(whole).items():
        partition = instrument_partition(i, PARTITIONS)
        store.sadd(keyspace.items(partition), i)
        store.hset(keyspace.cooc(partition, i), mapping={"off": "[0,9]", str(j): f"{count:g}"})
    return whole


def test_all_pairs_of_an_item_are_found_in_all_rows(
    store: Store, keyspace: Keyspace, whole: dict[tuple[int, int], float]
) -> None:
    for item in {i for i, _ in whole}:
        own, counts = neighbors(store, keyspace, item)
        assert own == whole[item, item]
        pairs = [(-count, j) for (i, j), count in whole.items() if i == item != j]
        assert list(counts.items()) == [(j, -count) for count, j in sorted(pairs)]
