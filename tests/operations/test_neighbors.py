"""The pairs of an item are found, in any row."""

from collections.abc import Callable

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition
from contracts.topics import STREAMED
from operations.counts.__main__ import app
from operations.counts.neighbors import neighbors
from runtime.redis.stores import Store
from runtime.topology import Topology
from tests.oracles.gram import gram_of_histories, stored_once

PARTITIONS = 3
ITEMS = [0, 1, 4, 7, 8, 250, 2**40, 2**63 - 1]
Command = Callable[..., Result]


@pytest.fixture
def command(store_url: str, namespace: str) -> Command:
    settings = {"REDIS_URL": store_url, "NAMESPACE": namespace, "COLUMNS": "200"}
    return lambda *arguments: CliRunner().invoke(app, ["neighbors", *arguments], env=settings)


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


def test_the_greatest_counts_are_printed(
    command: Command, whole: dict[tuple[int, int], float]
) -> None:
    item = max((i for i, _ in whole), key=lambda item: whole[item, item])
    row = {j: count for (i, j), count in whole.items() if i == item != j}
    said = command(str(item), "--count", "2")
    assert said.exit_code == 0
    head, titles, *lines = said.stdout.splitlines()
    assert (
        head == f"item {item}, whose own count is {whole[item, item]:g}, has {len(row)} neighbors"
    )
    assert titles.split() == ["item", "count"]
    shown = sorted(row, key=lambda j: (-row[j], j))[:2]
    assert [line.split() for line in lines] == [[str(j), f"{row[j]:g}"] for j in shown]


@pytest.mark.usefixtures("whole")
def test_what_is_no_item_or_has_no_counts_is_refused(command: Command) -> None:
    unknown = command("3")
    assert unknown.exit_code == 1
    assert "item 3 has no counts, as no user has it" in unknown.stderr
    for bad in ("x", "--", "-1", str(2**63)):
        assert command(bad).exit_code == 2
    assert command("4", "--count", "0").exit_code == 2


def test_a_namespace_without_topics_is_refused(command: Command) -> None:
    said = command("4")
    assert said.exit_code == 1
    assert "python -m operations.topics" in said.stderr
