"""Generations that are replaced, or expire, while they are read."""

from collections.abc import Iterator

import pytest
from redis import Redis

from api.generations import GenerationReplacedError, NoModelYetError
from api.metrics import Metrics
from api.reader import Reader
from api.recommend import Wish
from api.store import Store

from .conftest import Filled
from .reading import run

ALL = Wish(10, frozenset(), include_seen=False)


@pytest.fixture
def raw(store_url: str) -> Iterator[Redis]:
    with Redis.from_url(store_url) as client:
        yield client


@pytest.fixture
def reader(store_url: str, filled: Filled) -> Reader:
    return Reader(Store(store_url, filled.keys.namespace, Metrics()))


def test_a_generation_that_expired_under_the_reader_gives_way_to_the_new_one(
    reader: Reader, raw: Redis, filled: Filled
) -> None:
    filled.generation("new", {"4": [("5", 0.5, 1.0)]}, popular=[("7", 1.0)])
    for _ in range(2):  # without and with a guess at what is served
        filled.point_to("expired")
        found = run(reader.similar(4, 10), raw, filled, ["new"])
        assert found is not None
        assert found[0].name == "new"
        filled.point_to("expired")
        generation, chosen = run(reader.recommendations("ABC", ALL), raw, filled, ["new"])
        assert (generation.name, chosen.items[0].instrument_id) == ("new", 7)


def test_lists_that_expire_while_a_history_is_folded_in_are_not_taken_for_none(
    reader: Reader, raw: Redis, filled: Filled
) -> None:
    filled.generation("old", {"4": [("5", 0.5, 1.0)]}, popular=[("7", 1.0)])
    filled.history("ABC", {"4": (1, 1), "6": (1, 2)}, off=1)
    run(reader.recommendations("ABC", ALL), raw, filled)
    filled.generation("new", {"6": [("8", 0.5, 1.0)], "4": [("5", 0.5, 1.0)]})
    filled.generation("torn", {"4": [("5", 0.5, 1.0)]})
    generation, chosen = run(reader.recommendations("ABC", ALL), raw, filled, ["new"])
    assert generation.name == "new"
    assert {item.instrument_id for item in chosen.items} == {5, 8}


def test_generations_that_expire_faster_than_they_are_read_are_an_error(
    reader: Reader, raw: Redis, filled: Filled
) -> None:
    filled.point_to("a")
    with pytest.raises(GenerationReplacedError):
        run(reader.similar(4, 10), raw, filled, ["b", "c", "d"])


def test_a_generation_without_a_popular_list_is_an_error(
    reader: Reader, raw: Redis, filled: Filled
) -> None:
    filled.point_to("torn")
    with pytest.raises(GenerationReplacedError):
        run(reader.recommendations("ABC", ALL), raw, filled)


def test_an_answer_is_of_what_is_served_though_another_was_served_last(
    reader: Reader, raw: Redis, filled: Filled
) -> None:
    for name, neighbor in (("g1", "5"), ("g2", "6"), ("g1", "5")):
        filled.generation(name, {"4": [(neighbor, 0.5, 1.0)]})
        found = run(reader.similar(4, 10), raw, filled)
        assert found is not None
        assert (found[0].name, found[1].items[0].item) == (name, neighbor)


def test_lists_that_were_read_once_are_not_read_again(
    reader: Reader, raw: Redis, filled: Filled
) -> None:
    filled.generation("g1", {"4": [("5", 0.5, 1.0)]})
    filled.history("ABC", {"4": (1, 1), "6": (1, 2)}, off=1)
    run(reader.recommendations("ABC", ALL), raw, filled)
    raw.delete(filled.keys.model_similar("g1", "4"))
    _, chosen = run(reader.recommendations("ABC", ALL), raw, filled)
    assert [item.instrument_id for item in chosen.items] == [5]


def test_what_was_folded_in_counts_until_history_or_generation_change(
    reader: Reader, raw: Redis, filled: Filled
) -> None:
    def recommended() -> list[int]:
        _, chosen = run(reader.recommendations("ABC", ALL), raw, filled)
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


def test_the_variants_are_those_that_are_served(reader: Reader, raw: Redis, filled: Filled) -> None:
    assert run(reader.variants(), raw, filled) == []
    with pytest.raises(NoModelYetError):
        run(reader.similar(4, 10), raw, filled)
    filled.point_to("g1")
    assert run(reader.variants(), raw, filled) == ["default"]
