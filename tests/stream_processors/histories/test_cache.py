"""Histories that differ from the store stay in memory, others while there is room."""

import numpy as np

from stream_processors.histories import history as cache_module
from stream_processors.histories.history import ENTRY, History, HistoryCache


def history_of(n: int) -> History:
    return History(np.zeros(n, ENTRY))


def test_the_least_recently_changed_history_is_forgotten_first() -> None:
    size = cache_module._OVERHEAD + 1
    cache = HistoryCache(2 * size)
    for user in "ABC":
        cache.insert(user, history_of(1))
        cache.change(user)
        cache.settle()
    assert cache.unknown("ABC") == ["A"]
    cache.change("B")
    cache.settle()
    cache.insert("D", history_of(1))
    cache.change("D")
    cache.settle()
    assert cache.unknown("ABCD") == ["A", "C"]


def test_the_size_of_what_changed_is_counted_until_it_is_settled() -> None:
    cache = HistoryCache(1_000)
    for user, n in (("A", 3), ("B", 0)):
        cache.insert(user, history_of(n))
    assert cache.changed_size == 0
    cache.change("A")
    cache.change("A")
    assert cache.changed_size == 3 + cache_module._OVERHEAD
    cache.settle()
    assert cache.changed_size == 0
