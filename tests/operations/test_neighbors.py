"""The pairs of an item are found, in any row."""

import numpy as np
import pytest
from typer.testing import CliRunner

from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition
from contracts.topics import STREAMED
from operations.counts.__main__ import app
from runtime.redis.stores import Store
from runtime.topology import Topology
from tests.oracles.gram import gram_of_histories, stored_once

PARTITIONS = 3
ITEMS = [0, 1, 4, 7, 8, 250, 2**40, 2**63 - 1]


@pytest.fixture
def whole(store: Store, keyspace: Keyspace) -> dict[tuple[int, int], float]:
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


def test_all_pairs_of_an_item_are_found_in_all_rows_and_the_greatest_printed(
    store_url: str, keyspace: Keyspace, whole: dict[tuple[int, int], float]
) -> None:
    settings = {"REDIS_URL": store_url, "NAMESPACE": keyspace.namespace, "COLUMNS": "200"}
    for item in {i for i, _ in whole}:
        pairs = sorted((-count, j) for (i, j), count in whole.items() if i == item != j)
        for n in (2, len(ITEMS)):
            done = CliRunner().invoke(app, ["neighbors", str(item), f"--count={n}"], env=settings)
            head, _, *lines = done.stdout.splitlines()
            assert f"whose own count is {whole[item, item]:g}, has {len(pairs)} neighbors" in head
            shown = [line.split() for line in lines]
            assert shown == [[str(j), f"{-count:g}"] for count, j in pairs[:n]]
