"""The cache of items' lists, and the places of items in it."""

import msgspec
import pytest

from api.recommendations.lists import GenerationLists, Lists, _bytes_of
from contracts.generations import Neighbor, SimilarList


def test_rows_are_kept_within_bounds_those_asked_for_last_for_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = msgspec.json.encode(SimilarList("cosine", [Neighbor("9", 0.5, 1)]))
    monkeypatch.setattr(
        "api.recommendations.lists.ROWS_BYTES", 3 * _bytes_of(GenerationLists().add(0, value))
    )
    found = GenerationLists()
    for item in range(20):
        found.add(item, value)
        assert found.row(0) is not None  # is asked for all the time
    kept = [item for item in range(20) if found.row(item) is not None]
    assert {17, 18, 19} <= set(kept)
    assert len(kept) <= 2 * 3


def test_lists_are_kept_of_each_generation_that_is_served_and_of_no_other() -> None:
    lists = Lists()
    served = [f"g{number}" for number in range(9)]
    kept = [lists.of(name, served) for name in served]
    assert all(lists.of(name, served) is one for name, one in zip(served, kept, strict=True))
    late = lists.of("gone", served)  # by a read that began before
    assert lists.of("gone", served) is late
    lists.of("new", [*served[1:], "new"])
    assert lists.of("g1", []) is kept[1]
    assert lists.of("g0", []) is not kept[0]
    assert lists.of("gone", []) is not late
