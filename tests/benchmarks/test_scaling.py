"""What scaling is measured on is what it says, and runs that say nothing do not pass."""

import numpy as np

from benchmarks.crew import shared
from benchmarks.scaling import (
    items_of,
    make_events,
    sum_of_new_counts,
    write_histories,
)
from contracts.keyspace import OFFSET_FIELD, Keyspace
from contracts.partitioning import user_partition
from infra.local.metrics import Samples
from runtime.stores import connect
from runtime.topology import Topology

TOPOLOGY = Topology(quotes=8, interactions=8, cooccurrences=8)


def worker(quotes: int, others: int | None = None) -> Samples:
    names = {"quotes": quotes, "interactions": others, "cooccurrences": others}
    return {
        ("partitions_assigned", name): float(quotes if n is None else n)
        for name, n in names.items()
    }


def test_workers_share_the_partitions_when_each_has_some_and_none_is_left_over() -> None:
    assert shared([worker(8)], TOPOLOGY, 1)
    assert shared([worker(5, 4), worker(3, 4)], TOPOLOGY, 2)
    assert not shared([worker(8)], TOPOLOGY, 2)
    assert not shared([worker(8), worker(0)], TOPOLOGY, 2)
    assert not shared([worker(4), worker(3)], TOPOLOGY, 2)
    assert not shared([worker(4), worker(4, 3)], TOPOLOGY, 2)
    assert not shared([worker(8), worker(4)], TOPOLOGY, 2)


def test_the_items_of_a_user_are_all_different() -> None:
    assert all(len(set(items_of(user, 500))) == 500 for user in (0, 1, 77_777))


def test_the_new_counts_are_those_that_the_gram_matrix_gains() -> None:
    users, items = 5, 3
    events = list(make_events(400, users, start_ms=0))
    columns = {item for user in range(users) for item in items_of(user, items)}
    columns |= {event.instrument_id for event in events}
    column = {item: number for number, item in enumerate(sorted(columns))}
    user_items = np.zeros((users, len(column)))
    for user in range(users):
        user_items[user, [column[item] for item in items_of(user, items)]] = 1
    before = (user_items @ user_items.T).trace()
    gram_before = (user_items.T @ user_items).sum()
    assert before == users * items
    for event in events:
        user_items[int(event.user_id.removeprefix("user-")), column[event.instrument_id]] = 1
    gained = (user_items.T @ user_items).sum() - gram_before
    assert sum_of_new_counts(events, items) == gained


def test_histories_stand_where_a_worker_looks_for_them(store_url: str, namespace: str) -> None:
    keyspace = Keyspace(namespace)
    with connect(store_url, "tests") as store:
        write_histories(store, keyspace, TOPOLOGY, users=3, items=4, ts_ms=7)
        history = store.hgetall(keyspace.history(user_partition("user-2", 8), "user-2"))
        assert history.pop(OFFSET_FIELD) == "[0,-1]"  # before the log's first record
        assert {int(item) for item in history} == set(items_of(2, 4))
        assert set(history.values()) == {'{"r":1,"t":7}'}
