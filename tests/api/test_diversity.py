"""Recommendations that are not all of the same categories."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from api.recommendations.answers import Recommended
from api.recommendations.reranking import diversified
from contracts.generations import Current, Served
from tests.patience import until_true

from .conftest import ALL_ALIKE, Filled, Serve
from .lists import BASKET, ids_of, of_user

ABC = of_user("ABC")
OF_1: dict[str, Any] = {"items": [{"instrument_id": 1}], "n": 3}
CATEGORIES = {1: ("a",), 2: ("a",), 3: ("a", "b"), 4: ("b",), 5: ()}


def chosen(items: Sequence[int], n: int, diversity: float) -> list[int]:
    some = [Recommended(item, 1 / (1 + place), []) for place, item in enumerate(items)]
    return [item.instrument_id for item in diversified(some, CATEGORIES.__getitem__, n, diversity)]


@pytest.mark.parametrize(
    ("n", "diversity", "expected"),
    [
        (3, 0.0, [1, 2, 3]),
        (3, 0.4, [1, 4, 3]),  # after item 1, items 2 to 5 have .08, .16, .24 and .12
        (3, 1.0, [1, 4, 5]),
        (9, 1.0, [1, 4, 5, 3, 2]),
    ],
)
def test_items_are_chosen_by_marginal_relevance(
    n: int, diversity: float, expected: list[int]
) -> None:
    assert chosen([1, 2, 3, 4, 5], n, diversity) == expected


@pytest.fixture
async def client(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    filled.generation("g1", {"1": [(str(item), 1 / item, 1.0) for item in range(2, 40)]})
    filled.history("ABC", {"1": (1, 5)}, off=7)
    for item in range(1, 40):
        filled.instrument(item, f"S{item}", categories=("few",) if item % 7 == 0 else ("many",))
    async with serve() as client:
        yield client


async def test_a_request_may_ask_for_it_and_without_it_nothing_changes(
    client: httpx.AsyncClient,
) -> None:
    @until_true
    async def known() -> None:
        assert await ids_of(client, ABC, n=3, diversity=1) == [2, 7, 3]

    await known()
    assert (
        await ids_of(client, ABC, n=3) == await ids_of(client, ABC, n=3, diversity=0) == [2, 3, 4]
    )
    assert await ids_of(client, BASKET, **OF_1, diversity=1) == [2, 7, 3]


async def test_a_variant_may_ask_for_it_and_a_request_overrides_that(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    assert await ids_of(client, ABC, n=3) == [2, 3, 4]  # from the cache, from now on
    filled.serve(Current(2, {"default": Served("g1", "cosine", "user-knn", ALL_ALIKE, 1.0)}))

    @until_true
    async def followed() -> None:
        assert await ids_of(client, ABC, n=3) == [2, 7, 3]

    await followed()
    assert await ids_of(client, ABC, n=3, diversity=0) == [2, 3, 4]
    assert await ids_of(client, BASKET, **OF_1) == [2, 7, 3]
    assert await ids_of(client, BASKET, **OF_1, diversity=0) == [2, 3, 4]
    (of_default,) = (await client.get("/v1/models")).json()["variants"]
    assert of_default["serves"]["diversity"] == 1
