"""Generations that are replaced, or expire, while they are read."""

import gc
import weakref

import pytest
from redis import Redis

from api.generations.pointer import GenerationReplacedError
from api.recommendations.choosing import Wish
from contracts.fold_in import FoldIn
from contracts.times import DAY_MS

from .all_but import AllBut
from .conftest import Filled
from .reading import Reader

ALL = Wish(10, frozenset())


@pytest.fixture
def reader(store_url: str, filled: Filled, raw: Redis) -> Reader:
    return Reader(store_url, filled, raw)


def test_a_generation_that_expired_under_the_reader_gives_way_to_the_new_one(
    reader: Reader, filled: Filled
) -> None:
    filled.generation("new", {"4": [("5", 0.5, 1.0)]}, popular=[("7", 1.0)])
    for _ in range(2):  # without and with a known pointer
        filled.point_to("expired")
        found = reader.run(reader.similar(4, 10), ["new"])
        assert found is not None
        assert found[0].name == "new"
        filled.point_to("expired")
        generation, chosen = reader.run(reader.recommendations("ABC", ALL), ["new"])
        assert (generation.name, chosen.items[0].instrument_id) == ("new", 7)


def test_lists_that_expire_while_a_history_is_folded_in_are_not_taken_for_none(
    reader: Reader, filled: Filled
) -> None:
    filled.generation("old", {"4": [("5", 0.5, 1.0)]}, popular=[("7", 1.0)])
    filled.history("ABC", {"4": (1, 1), "6": (1, 2)}, off=1)
    reader.run(reader.recommendations("ABC", ALL))
    filled.generation("new", {"6": [("8", 0.5, 1.0)], "4": [("5", 0.5, 1.0)]})
    filled.generation("torn", {"4": [("5", 0.5, 1.0)]})
    generation, chosen = reader.run(reader.recommendations("ABC", ALL), ["new"])
    assert generation.name == "new"
    assert {item.instrument_id for item in chosen.items} == {5, 8}


def test_generations_that_expire_faster_than_they_are_read_are_an_error(
    reader: Reader, filled: Filled
) -> None:
    filled.point_to("a")
    with pytest.raises(GenerationReplacedError):
        reader.run(reader.similar(4, 10), ["b", "c", "d"])


def test_a_generation_without_a_popular_list_is_an_error(reader: Reader, filled: Filled) -> None:
    filled.point_to("torn")
    with pytest.raises(GenerationReplacedError):
        reader.run(reader.recommendations("ABC", ALL))


def test_what_was_folded_in_counts_until_history_or_generation_change(
    reader: Reader, filled: Filled
) -> None:
    def recommended() -> list[int]:
        _, chosen = reader.run(reader.recommendations("ABC", ALL))
        return [item.instrument_id for item in chosen.items]

    filled.generation("g1", {"4": [("5", 0.5, 1.0)], "6": [("7", 0.9, 1.0)]})
    filled.history("ABC", {"4": (1, 1)}, off=1)
    assert recommended() == recommended() == [5]
    filled.history("ABC", {"4": (1, 1), "6": (1, 2)}, off=2)
    assert recommended() == recommended() == [7, 5]
    filled.generation("g2", {"4": [("8", 0.5, 1.0)]})
    assert recommended() == recommended() == [8]
    filled.point_to("g1")
    assert recommended() == [7, 5]


def test_an_own_list_counts_until_history_or_generation_change_and_is_read_once(
    reader: Reader, raw: Redis, filled: Filled
) -> None:
    def recommended(wish: Wish = ALL) -> tuple[str, list[int]]:
        _, chosen = reader.run(reader.recommendations("ABC", wish))
        return chosen.source, [item.instrument_id for item in chosen.items]

    filled.generation("g1", {"4": [("5", 0.5, 1.0)]})
    filled.user_list("g1", "ABC", off=1, items=[("8", 0.5, ["4"]), ("9", 0.4, ["4"])])
    filled.history("ABC", {"4": (1, 1)}, off=1)
    assert recommended() == ("model", [8, 9, 5])
    raw.delete(filled.keys.model_user("g1", "ABC"))
    assert recommended() == ("model", [8, 9, 5])
    assert recommended(Wish(10, frozenset({8}))) == ("history", [5])
    filled.history("ABC", {"4": (1, 2)}, off=2)
    assert recommended() == ("history", [5])
    filled.generation("g2", {"4": [("6", 0.5, 1.0)]})
    filled.user_list("g2", "ABC", off=2, items=[("7", 0.5, ["4"])])
    assert recommended() == ("model", [7, 6])


def test_histories_are_folded_in_as_the_generation_says(reader: Reader, filled: Filled) -> None:
    filled.generation("g1", {"4": [("5", 0.5, 1.0)], "6": [("7", 0.75, 1.0)]})
    filled.history("ABC", {"4": (1, DAY_MS), "6": (1, 0)}, off=1)
    filled.point_to("g1", FoldIn(half_life_days=1))
    _, chosen = reader.run(reader.recommendations("ABC", ALL))
    scores = [(item.instrument_id, item.score) for item in chosen.items]
    assert scores == [(5, pytest.approx(0.5 / 1.5)), (7, pytest.approx(0.375 / 1.5))]


def test_answers_are_kept_within_bounds_however_long_they_are(
    raw: Redis, filled: Filled, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.recommendations.recommender.CHOSEN_BYTES", 30_000)
    reader = Reader(store_url, filled, raw)
    filled.generation("g1", {"4": [(str(item), 0.5, 1.0) for item in range(100, 200)]})
    users = [f"u{number}" for number in range(20)]
    for user in users:
        filled.history(user, {"4": (1, 1)}, off=1)

    def kept(n: int) -> int:
        """Return how many answers of `n` items stand there after all were asked for."""

        def counted() -> float:
            return (
                reader.metrics.registry.get_sample_value("api_choices_total", {"outcome": "kept"})
                or 0
            )

        for user in users:
            reader.run(reader.recommendations(user, Wish(n, frozenset())))
        before = counted()
        for user in reversed(users):
            reader.run(reader.recommendations(user, Wish(n, frozenset())))
        return round(counted() - before)

    assert kept(1) == len(users)  # of a kilobyte each
    assert 1 <= kept(100) <= 4  # of 28


def test_a_kept_answer_holds_no_version_of_the_catalog(reader: Reader, filled: Filled) -> None:
    filled.generation("one", {"4": [("5", 0.5, 1.0)]}, popular=[("7", 1.0)])
    filled.history("ABC", {"4": (1, 1)}, off=1)
    shown = AllBut({6})
    still_there = weakref.ref(shown)
    wish = Wish(10, frozenset(), catalog_version=1, shown=shown)
    made = reader.run(reader.recommendations("ABC", wish))[1]
    del wish, shown
    gc.collect()
    assert still_there() is None
    again = Wish(10, frozenset(), catalog_version=1, shown=AllBut({6}))
    assert reader.run(reader.recommendations("ABC", again))[1] is made
    newer = Wish(10, frozenset(), catalog_version=2, shown=AllBut({5, 7}))
    assert reader.run(reader.recommendations("ABC", newer))[1].items == []
