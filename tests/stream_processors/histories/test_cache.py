"""Histories that differ from the store stay in memory, others while there is room."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.histories import cache as cache_module
from stream_processors.histories.cache import HistoryCache
from stream_processors.histories.history import ENTRY, History

users = st.sampled_from("ABCDEF")
steps = st.lists(st.tuples(st.sampled_from(["look", "change"]), users) | st.just("settle"))


def history_of(n: int) -> History:
    return History(np.zeros(n, ENTRY))


@given(steps=steps, at_most=st.integers(0, 9))
def test_no_change_is_forgotten_before_the_store_has_it(
    steps: list[tuple[str, str] | str], at_most: int
) -> None:
    changed: dict[str, History] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "_OVERHEAD", 1)
        cache = HistoryCache(at_most)
        for step in steps:
            if isinstance(step, str):
                cache.settle()
                changed.clear()
                assert sum(len(h) + 1 for h in cache._others.values()) <= at_most
                continue
            what, user = step
            for unknown in cache.unknown([user]):
                assert unknown not in changed
                cache.insert(unknown, history_of(2))
            if what == "change":
                history = cache.change(user)
                history.add(7, 1.0, 0)
                assert changed.setdefault(user, history) is history
            assert cache.get(user) is cache._changed.get(user, cache._others.get(user))
            assert cache.changed == changed


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
