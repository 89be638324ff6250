"""The pointer is read once every few milliseconds, and at once if a read finds nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from redis import Redis
from starlette.requests import Request

from api.generations.pointer import POINTER_KEPT_S, SEEN_BY_ALL_S
from api.http.metrics import Metrics
from api.http.problems import Problem
from api.recommendations.choosing import Wish
from api.redis.reading import Read
from api.redis.store import Store
from api.users.writing import Erasure
from contracts.generations import Current, Experiment, Served
from contracts.tombstones import Tombstone

from .conftest import Filled, Serve
from .reading import Reader

ALL = Wish(10, frozenset())


@dataclass
class Clock:
    """Stands still until it is moved."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(store_url: str, filled: Filled, raw: Redis, clock: Clock) -> Reader:
    return Reader(store_url, filled, raw, clock)


@pytest.fixture(autouse=True)
def generations(filled: Filled) -> None:
    for name, neighbor in (("g2", "6"), ("g1", "5")):
        filled.generation(name, {"4": [(neighbor, 0.5, 1.0)]}, popular=[("7", 1.0)])


def asked(reader: Reader, raw: Redis) -> tuple[Read[Any], list[Any]]:
    """Return a read that has asked for the pointer, and what it will be answered."""
    slow = reader.similar(4, 10)
    return slow, [raw.execute_command(*command) for command in next(slow)]


def of_similar(reader: Reader) -> str:
    found = reader.run(reader.similar(4, 10))
    return found[0].name


async def test_once_an_erasure_is_answered_no_process_shows_a_list_of_a_replaced_generation(
    client: httpx.AsyncClient, store_url: str, filled: Filled
) -> None:
    filled.history("ABC", {"4": (1, 1)}, off=1)
    for name in ("g2", "g1"):
        filled.user_list(name, "ABC", 1, [("9", 0.5, ["4"])])
    store = Store(store_url, filled.keys.namespace, Metrics().store_errors)
    published: list[Tombstone] = []

    async def publish(tombstones: Sequence[Tombstone]) -> None:
        published.extend(tombstones)

    def asked() -> Request:
        return Request({"type": "http", "raw_path": b"/v1/users/ABC"})

    async def served() -> Any:
        return (await client.get("/v1/users/ABC/recommendations")).json()

    async with store.connecting():
        assert (await served())["generation"] == "g1"  # and that is kept
        filled.point_to("g2")
        await Erasure(store, publish).erase(asked(), "ABC")
        found = await served()
    assert [tombstone.user_id for tombstone in published] == ["ABC"]
    assert (found["generation"], found["items"][0]["instrument_id"]) == ("g2", 6)


def test_an_answer_that_comes_late_does_not_bring_back_what_it_says(
    reader: Reader, raw: Redis, filled: Filled, clock: Clock
) -> None:
    of_similar(reader)
    clock.now_s += POINTER_KEPT_S
    slow, answers = asked(reader, raw)
    filled.point_to("g2")
    clock.now_s += POINTER_KEPT_S / 2
    assert of_similar(reader) == "g2"
    with pytest.raises(StopIteration) as ended:
        slow.send(answers)
    generation, found = ended.value.value
    assert (generation.name, found.items[0].item) == ("g1", "5")
    rounds: list[int] = []
    generation, _ = reader.run(reader.similar(4, 10), rounds=rounds)
    assert (generation.name, rounds) == ("g2", [1])


@pytest.mark.parametrize("history", [{}, {"4": (1, 1)}], ids=["popular", "folded in"])
def test_answers_of_a_generation_that_expired_while_the_pointer_was_kept_are_of_the_next(
    reader: Reader, filled: Filled, history: dict[str, tuple[float, int]]
) -> None:
    if history:
        filled.history("ABC", history, off=1)
    assert reader.run(reader.variants()) == ["default"]  # and the pointer is kept
    filled.point_to("g2")
    gone = [filled.keys.model_similar("g1", "4")]
    # The popular list still exists: expired lists must not be treated as empty.
    filled.store.delete(*gone, *([] if history else [filled.keys.model_popular("g1")]))
    generation, chosen = reader.run(reader.recommendations("ABC", ALL))
    assert (generation.name, chosen.items[0].instrument_id) == ("g2", 6 if history else 7)
    assert of_similar(reader) == "g2"


def test_what_no_generation_has_is_said_to_be_missing_only_by_the_pointer_as_it_is(
    reader: Reader, filled: Filled
) -> None:
    of_similar(reader)
    rounds: list[int] = []
    with pytest.raises(Problem):
        reader.run(reader.similar(99, 10), rounds=rounds)
    assert rounds == [1, 1, 1]  # the list, the pointer, what is under way
    filled.history("ABC", {"4": (1, 1), "98": (1, 1), "99": (1, 1)}, off=1)
    rounds.clear()
    reader.run(reader.recommendations("ABC", ALL), rounds=rounds)
    # The history and an own list, three lists, the pointer, as two are missing; the popular list,
    # as one neighbor is too few; the ids' key.
    assert rounds[-4:] == [2, 3, 1, 1]


async def test_a_decision_is_seen_by_every_process_soon_after(serve: Serve, filled: Filled) -> None:
    variants = {
        name: Served(generation, "cosine", "user-knn")
        for name, generation in (("default", "g1"), ("steep", "g2"))
    }
    async with serve() as one, serve() as other:
        for variant in ("steep", "default") * 5:
            for client in (other, one):
                await client.get("/v1/users/ABC/recommendations")
            filled.serve(Current(1, variants, Experiment("spring", {variant: 1})))
            await asyncio.sleep(SEEN_BY_ALL_S)
            for client in (one, other):
                answer = (await client.get("/v1/users/ABC/recommendations")).json()
                assert answer["variant"] == variant
