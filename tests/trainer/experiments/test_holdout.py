"""Lists are measured on what users did since, as they stand in Redis."""

import math

import msgspec
import pytest

from contracts.keyspace import HistoryEntry, Keyspace, Neighbor, SimilarList
from contracts.partitioning import user_partition
from runtime.stores import Store
from trainer.evaluation.holdout import FOLDED_IN_ITEMS
from trainer.experiments.holdout import Since, accuracy_of, read_accuracy, split

PARTITIONS = 3
SINCE_MS = 1_000


def put_history(store: Store, keyspace: Keyspace, user: str, items: dict[int, int]) -> None:
    """Write items with the time of their last event."""
    partition = user_partition(user, PARTITIONS)
    fields = {str(item): msgspec.json.encode(HistoryEntry(1, t)) for item, t in items.items()}
    store.hset(keyspace.history(partition, user), mapping=fields | {"off": b"[0,1]"})
    store.zadd(keyspace.active(partition), {user: max(items.values())})


def put_lists(
    store: Store, keyspace: Keyspace, generation: str, lists: dict[int, dict[int, float]]
) -> None:
    for item, neighbors in lists.items():
        found = SimilarList("cosine", [Neighbor(str(j), s, 1) for j, s in neighbors.items()])
        store.set(keyspace.model_similar(generation, str(item)), msgspec.json.encode(found))


def test_the_generation_that_foresaw_more_is_ahead(store: Store, keyspace: Keyspace) -> None:
    for n in range(20):
        put_history(store, keyspace, f"u{n}", {1: 500, 2: 600, 7: 1_500})
    put_history(store, keyspace, "had nothing", {7: 1_500})
    put_history(store, keyspace, "did nothing", {1: 500})
    put_lists(store, keyspace, "g1", {1: {3: 0.9, 7: 0.5}, 2: {3: 0.1}})
    put_lists(store, keyspace, "g2", {1: {7: 0.9}, 2: {1: 0.9}})
    found = read_accuracy(store, keyspace, PARTITIONS, ("g1", "g2"), SINCE_MS, 1_000)
    assert found.served.tolist() == pytest.approx([1 / math.log2(3)] * 20)
    assert found.canary.tolist() == [1] * 20


def test_only_the_latest_active_users_are_read(store: Store, keyspace: Keyspace) -> None:
    for n in range(20):
        put_history(store, keyspace, f"u{n}", {1: 500, n + 100: 2_000 + n})
    put_lists(store, keyspace, "g1", {1: {117: 0.5, 118: 0.5, 119: 0.4}})
    found = read_accuracy(store, keyspace, PARTITIONS, ("g1", "g2"), SINCE_MS, 5)
    assert len(found.served) == 5
    assert (found.served > 0).sum() == 3
    assert found.canary.sum() == 0


def test_an_items_time_parts_before_from_after() -> None:
    history = {
        str(item): msgspec.json.encode(HistoryEntry(2.0, t)).decode()
        for item, t in {5: 900, 6: 1_000, 7: 1_001}.items()
    }
    assert split(history | {"off": "[0,1]"}, SINCE_MS) == Since({6: 2.0, 5: 2.0}, [7])


def test_only_as_many_of_the_latest_items_are_folded_in_as_the_api_does() -> None:
    before = dict.fromkeys(range(FOLDED_IN_ITEMS), 1.0) | {999: 1.0}  # latest first
    found = accuracy_of([Since(before, [7_000])], {0: {7_000: 1.0}}, {999: {7_000: 1.0}})
    assert (found.served.tolist(), found.canary.tolist()) == ([1], [0])


def test_what_a_user_had_is_no_recommendation() -> None:
    user = Since({1: 1.0, 2: 1.0}, [3])
    found = accuracy_of([user], {1: {2: 0.9, 3: 0.1}}, {1: {3: 0.1}})
    assert found.served.tolist() == found.canary.tolist() == [1]


def test_nobody_is_no_user(store: Store, keyspace: Keyspace) -> None:
    found = read_accuracy(store, keyspace, PARTITIONS, ("g1", "g2"), SINCE_MS, 10)
    assert len(found.served) == len(found.canary) == 0
