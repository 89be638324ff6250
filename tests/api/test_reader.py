"""Generations that are replaced, expire or belong to a variant, while they are read."""

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
from redis import Redis
from starlette.requests import Request

from api.generations.pointer import (
    POINTER_KEPT_S,
    SEEN_BY_ALL_S,
    Generation,
    GenerationReplacedError,
    resumed,
)
from api.http.metrics import Metrics
from api.http.problems import Problem
from api.recommendations.choosing import Wish
from api.redis.reading import Read
from api.redis.store import Store
from api.users.writing import Erasure
from contracts.fold_in import FoldIn
from contracts.generations import Canary, Current, Experiment, Served
from contracts.pointer import served_to
from contracts.times import DAY_MS
from contracts.tombstones import Tombstone
from tests.patience import until_true

from .asking import answered, of_user
from .conftest import Filled, Serve
from .reading import AllBut, Reader

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


def test_generations_that_expire_faster_than_they_are_read_or_have_no_popular_list_are_an_error(
    reader: Reader, filled: Filled
) -> None:
    filled.point_to("a")
    with pytest.raises(GenerationReplacedError):
        reader.run(reader.similar(4, 10), ["b", "c", "d"])
    with pytest.raises(GenerationReplacedError):
        reader.run(reader.recommendations("ABC", ALL))


def recommended_to_abc(reader: Reader, wish: Wish = ALL) -> tuple[str, list[int]]:
    """Return the source and the ids."""
    _, chosen = reader.run(reader.recommendations("ABC", wish))
    return chosen.source, [item.instrument_id for item in chosen.items]


def test_what_was_folded_in_counts_until_history_or_generation_change(
    reader: Reader, filled: Filled
) -> None:
    def recommended() -> list[int]:
        return recommended_to_abc(reader)[1]

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
    recommended = partial(recommended_to_abc, reader)
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


USERS = [f"u{n}" for n in range(60)]

VARIANTS = {
    name: Served(generation, "cosine", "user-knn")
    for name, generation in (("default", "g1"), ("steep", "g2"))
}
HALF_EACH = Experiment("spring", {"default": 1, "steep": 1})
CANARY = Canary(Served("g3", "ease", "user-knn"), 0.25, 0, 1)
OF_4 = "/v1/instruments/4/similar"
NEIGHBORS = {"g3": "13", "g2": "12", "g1": "11"}
"""By generation, the last of which is served: its item for users who have 4; 20 more for others."""


@pytest.fixture(autouse=True)
def generations(filled: Filled) -> None:
    for name, neighbor in NEIGHBORS.items():
        popular = [(str(int(neighbor) + 20), 3.0)]
        filled.generation(name, {"4": [(neighbor, 0.5, 1.0)]}, popular)
    for user in USERS[::2]:
        filled.history(user, {"4": (1, 5)}, off=7)


def serve(
    filled: Filled, experiment: Experiment | None = HALF_EACH, canary: Canary | None = None
) -> Current:
    current = Current(1, VARIANTS, experiment, canary)
    filled.serve(current)
    return current


@until_true
async def first_of(client: httpx.AsyncClient, path: str, generation: str) -> httpx.Response:
    """Return the first answer of a generation: the pointer is cached for some milliseconds."""
    answer = await client.get(path)
    assert answer.json()["generation"] == generation
    return answer


def expected(user: str, current: Current) -> tuple[str, str]:
    found = served_to(user, current)
    assert found is not None
    return found[0], found[1].generation


@pytest.mark.parametrize(("experiment", "canary"), [(None, None), (HALF_EACH, CANARY)])
async def test_a_user_is_answered_out_of_the_lists_of_its_variant(
    client: httpx.AsyncClient, filled: Filled, experiment: Experiment | None, canary: Canary | None
) -> None:
    current = serve(filled, experiment, canary)
    found = Counter[str]()
    for n, user in enumerate(USERS):
        variant, generation = expected(user, current)
        body = await answered(client, of_user(user))
        assert (body["variant"], body["generation"]) == (variant, generation)
        assert body["request_id"].startswith(f"{variant}.{generation}.{body['source']}.")
        neighbor = int(NEIGHBORS[generation]) + 20 * (n % 2)
        assert body["items"][0]["instrument_id"] == neighbor
        legacy = await client.get(f"/instruments/similar/{user}")
        assert legacy.json()["predicted_items"][0] == str(neighbor)
        assert legacy.headers["x-request-id"].startswith(f"{variant}.{generation}.")
        found[variant] += 1
    names = {"default"} | ({"steep"} if experiment else set()) | ({"canary"} if canary else set())
    assert found.keys() == names


async def test_what_is_the_same_for_all_users_is_the_default_variants(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    serve(filled, Experiment("spring", {"steep": 1}), CANARY)
    body = await answered(client, OF_4)
    assert (body["variant"], body["generation"]) == ("default", "g1")


async def test_an_entity_tag_is_of_one_generation(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    tags = set()
    for name in ("g1", "g2", "g1"):
        filled.generation(name, {"4": [("5", 0.5, 1.0)]})  # with the very same list
        tags.add((await first_of(client, OF_4, name)).headers["etag"])
    assert len(tags) == 2


async def test_recommendations_are_counted_by_source_variant_and_model(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    current = serve(filled)
    counted_answers = Counter[tuple[str, str, str]]()
    for n, user in enumerate(USERS[:40]):
        await answered(client, of_user(user))
        source, model = ("popular", "popular") if n % 2 else ("history", "cosine")
        counted_answers[model, source, expected(user, current)[0]] += 1
    metrics = (await client.get("/metrics")).text
    for (model, source, variant), count in counted_answers.items():
        labels = f'{{model="{model}",source="{source}",variant="{variant}"}}'
        assert f"api_recommendations_total{labels} {count}.0" in metrics
    assert len(counted_answers) == 4


def test_a_pointer_that_moves_to_other_variants_while_it_is_read_is_followed(
    reader: Reader, raw: Redis, filled: Filled
) -> None:
    current = serve(filled)
    user = next(user for user in USERS[::2] if expected(user, current)[0] == "steep")
    generation, _ = reader.run(reader.recommendations(user, ALL))
    assert generation == Generation("steep", current.variants["steep"])

    read = reader.recommendations(user, ALL)  # starts with the generation served last
    commands = next(read)
    serve(filled, None)
    answers = [raw.execute_command(*command, NEVER_DECODE=True) for command in commands]
    # Another request learns of it first.
    assert reader.run(reader.recommendations("u1", ALL))[0] == Generation(
        "default", current.variants["default"]
    )

    generation, _ = reader.run(resumed(read, answers))
    assert generation == Generation("default", current.variants["default"])


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
def patient(store_url: str, filled: Filled, raw: Redis, clock: Clock) -> Reader:
    return Reader(store_url, filled, raw, clock)


def asked(patient: Reader, raw: Redis) -> tuple[Read[Any], list[Any]]:
    """Return a read that has asked for the pointer, and what it will be answered."""
    slow = patient.similar(4, 10)
    return slow, [raw.execute_command(*command) for command in next(slow)]


def of_similar(patient: Reader) -> str:
    found = patient.run(patient.similar(4, 10))
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
    assert (found["generation"], found["items"][0]["instrument_id"]) == ("g2", 12)


def test_an_answer_that_comes_late_does_not_bring_back_what_it_says(
    patient: Reader, raw: Redis, filled: Filled, clock: Clock
) -> None:
    of_similar(patient)
    clock.now_s += POINTER_KEPT_S
    slow, answers = asked(patient, raw)
    filled.point_to("g2")
    clock.now_s += POINTER_KEPT_S / 2
    assert of_similar(patient) == "g2"
    with pytest.raises(StopIteration) as ended:
        slow.send(answers)
    generation, found = ended.value.value
    assert (generation.name, found.items[0].item) == ("g1", "11")
    rounds: list[int] = []
    generation, _ = patient.run(patient.similar(4, 10), rounds=rounds)
    assert (generation.name, rounds) == ("g2", [1])


@pytest.mark.parametrize("history", [{}, {"4": (1, 1)}], ids=["popular", "folded in"])
def test_answers_of_a_generation_that_expired_while_the_pointer_was_kept_are_of_the_next(
    patient: Reader, filled: Filled, history: dict[str, tuple[float, int]]
) -> None:
    if history:
        filled.history("ABC", history, off=1)
    assert patient.run(patient.variants()) == ["default"]  # and the pointer is kept
    filled.point_to("g2")
    gone = [filled.keys.model_similar("g1", "4")]
    # The popular list still exists: expired lists must not be treated as empty.
    filled.store.delete(*gone, *([] if history else [filled.keys.model_popular("g1")]))
    generation, chosen = patient.run(patient.recommendations("ABC", ALL))
    assert (generation.name, chosen.items[0].instrument_id) == ("g2", 12 if history else 32)
    assert of_similar(patient) == "g2"


def test_what_no_generation_has_is_said_to_be_missing_only_by_the_pointer_as_it_is(
    patient: Reader, filled: Filled
) -> None:
    of_similar(patient)
    rounds: list[int] = []
    with pytest.raises(Problem):
        patient.run(patient.similar(99, 10), rounds=rounds)
    assert rounds == [1, 1, 1]  # the list, the pointer, what is under way
    filled.history("ABC", {"4": (1, 1), "98": (1, 1), "99": (1, 1)}, off=1)
    rounds.clear()
    patient.run(patient.recommendations("ABC", ALL), rounds=rounds)
    # The history and an own list, three lists, the pointer, as two are missing; the popular list,
    # as one neighbor is too few; the ids' key.
    assert rounds[-4:] == [2, 3, 1, 1]


async def test_a_decision_is_seen_by_every_process_soon_after(serve: Serve, filled: Filled) -> None:
    async with serve() as one, serve() as other:
        for variant in ("steep", "default") * 5:
            for client in (other, one):
                await client.get("/v1/users/ABC/recommendations")
            filled.serve(Current(1, VARIANTS, Experiment("spring", {variant: 1})))
            await asyncio.sleep(SEEN_BY_ALL_S)
            for client in (one, other):
                answer = (await client.get("/v1/users/ABC/recommendations")).json()
                assert answer["variant"] == variant
