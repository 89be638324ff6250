"""What scaling is measured on is what it says."""

import numpy as np

from benchmarks.harness.namespace import Namespace
from benchmarks.interactions import make_events, sum_of_counts
from benchmarks.scaling import items_of, write_histories
from contracts.keyspace import OFFSET_FIELD, Keyspace
from contracts.partitioning import user_partition
from runtime.redis.stores import connect
from runtime.topology import Topology

TOPOLOGY = Topology(quotes=8, interactions=8, cooccurrences=8)


def test_the_items_of_a_user_are_all_different() -> None:
    assert all(len(set(items_of(f"user-{user}", 500))) == 500 for user in (0, 1, 77_777))


def test_the_new_counts_are_those_that_the_gram_matrix_gains() -> None:
    users, items = [f"user-{number}" for number in range(5)], 3
    events = list(make_events(400, len(users), 50_000, activity=0, popularity=0))
    columns = {item for user in users for item in items_of(user, items)}
    columns |= {event.instrument_id for event in events}
    column = {item: number for number, item in enumerate(sorted(columns))}
    user_items = np.zeros((len(users), len(column)))
    for row, user in enumerate(users):
        user_items[row, [column[item] for item in items_of(user, items)]] = 1
    gram_before = (user_items.T @ user_items).sum()
    assert user_items.sum() == len(users) * items
    for event in events:
        user_items[users.index(event.user_id), column[event.instrument_id]] = 1
    gained = (user_items.T @ user_items).sum() - gram_before
    assert sum_of_counts(events, lambda user: items_of(user, items)) == gained


def test_histories_stand_where_a_worker_looks_for_them(store_url: str, namespace: str) -> None:
    keys = Keyspace(namespace)
    with connect(store_url, "tests") as store:
        write_histories(Namespace(store, keys, TOPOLOGY), users=3, items=4, ts_ms=7)
        history = store.hgetall(keys.history(user_partition("user-2", 8), "user-2"))
        assert history.pop(OFFSET_FIELD) == "[0,-1]"  # before the log's first record
        assert {int(item) for item in history} == set(items_of("user-2", 4))
        assert set(history.values()) == {'{"r":1,"t":7}'}
