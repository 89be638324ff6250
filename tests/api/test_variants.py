"""While an experiment runs: each user gets the lists of one variant."""

from collections import Counter

import httpx
import pytest
from redis import Redis

from api.generations.pointer import Generation, resumed
from api.recommendations.choosing import Wish
from contracts.generations import Canary, Current, Experiment, Served
from contracts.pointer import served_to
from tests.patience import until_true

from .conftest import Filled
from .lists import answered, of_user
from .reading import Reader

USERS = [f"u{n}" for n in range(60)]
ALL = Wish(10, frozenset())
VARIANTS = {
    name: Served(generation, "cosine", "user-knn")
    for name, generation in (("default", "g1"), ("steep", "g2"))
}
HALF_EACH = Experiment("spring", {"default": 1, "steep": 1})
CANARY = Canary(Served("g3", "ease", "user-knn"), 0.25, 0, 1)
OF_4 = "/v1/instruments/4/similar"
NEIGHBORS = {"g1": "11", "g2": "12", "g3": "13"}
"""By generation: what it recommends to users who have 4; 20 more to users who have nothing."""


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
    asked = Counter[tuple[str, str, str]]()
    for n, user in enumerate(USERS[:40]):
        await answered(client, of_user(user))
        source, model = ("popular", "popular") if n % 2 else ("history", "cosine")
        asked[model, source, expected(user, current)[0]] += 1
    metrics = (await client.get("/metrics")).text
    for (model, source, variant), count in asked.items():
        labels = f'{{model="{model}",source="{source}",variant="{variant}"}}'
        assert f"api_recommendations_total{labels} {count}.0" in metrics
    assert len(asked) == 4


@pytest.fixture
def reader(store_url: str, filled: Filled, raw: Redis) -> Reader:
    return Reader(store_url, filled, raw)


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
