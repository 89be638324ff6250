"""Recommendations by category, and of listed instruments only, over HTTP from a real store."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from tests.cases import each
from tests.patience import until_true

from .conftest import Filled, Serve

ENERGY, TECH = ("energy",), ("tech", "large")


def catalog(filled: Filled, entries: Mapping[int, tuple[str, ...] | None]) -> None:
    """Write instruments with their categories; None: it is not listed."""
    for item, of in entries.items():
        filled.instrument(item, f"S{item}", categories=of or (), listed=of is not None)


@pytest.fixture
async def client(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    filled.generation(
        "g1",
        similar={"1": [("2", 0.9, 5.0), ("3", 0.8, 4.0), ("4", 0.4, 2.0), ("5", 0.1, 1.0)]},
        popular=[("2", 9.0), ("6", 8.0), ("7", 7.0)],
    )
    filled.history("ABC", {"1": (1, 5)}, off=7)
    catalog(filled, {1: TECH, 2: TECH, 3: None, 4: ENERGY, 6: ("metals",), 7: None})
    async with serve() as client:
        yield client


async def recommended(client: httpx.AsyncClient, query: str = "") -> tuple[str, list[int]]:
    answer = await client.get(f"/v1/users/ABC/recommendations{query}")
    assert answer.status_code == 200, answer.text
    return said(answer.json())


def said(answer: dict[str, Any]) -> tuple[str, list[int]]:
    return answer["source"], [item["instrument_id"] for item in answer["items"]]


async def test_what_is_not_listed_is_never_recommended(client: httpx.AsyncClient) -> None:
    assert await recommended(client) == ("history", [2, 4, 5, 6])
    answer = await client.get("/v1/users/nobody/recommendations")
    assert said(answer.json()) == ("popular", [2, 6])
    first_version = await client.get("/instruments/similar/ABC")
    assert first_version.json() == {"predicted_items": ["2", "4", "5", "6"]}


@each(
    ("query", "expected"),
    [
        ("?category=tech", [2]),
        ("?category=tech,energy", [2, 4]),
        ("?exclude_category=large&n=2", [4, 5]),
        ("?category=tech,energy&exclude_category=tech", [4]),
        ("?category=&exclude_category=", [2, 4, 5, 6]),
        ("?category=tech,energy&exclude=2", [4]),
        ("?category=tech,energy&n=1", [2]),
    ],
)
async def test_categories_narrow_what_is_recommended(
    client: httpx.AsyncClient, query: str, expected: list[int]
) -> None:
    assert await recommended(client, query) == ("history", expected)


async def test_a_filter_gets_as_many_as_there_are_popular_ones_first_and_each_with_its_source(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    catalog(filled, {1: TECH, 2: TECH, 8: ("metals",), 9: TECH, 10: TECH, 11: ENERGY, 7: None})

    async def found(query: str) -> list[tuple[int, str | None]]:
        answer = (await client.get(f"/v1/users/ABC/recommendations?{query}")).json()
        return [(item["instrument_id"], item.get("source")) for item in answer["items"]]

    @until_true
    async def complete() -> None:
        assert await found("category=tech,metals") == [
            *((2, None), (6, "popular")),
            *((10, "catalog"), (8, "catalog"), (9, "catalog")),
        ]

    await complete()
    assert await found("category=tech,metals&n=3") == [(2, None), (6, "popular"), (10, "catalog")]
    # What has no category at all is shown, too, unless the catalog says that it is not listed.
    assert await found("exclude_category=tech,metals&n=3") == [
        *((4, None), (5, None), (11, "catalog")),
    ]
    filled.user_list("g1", "ABC", off=7, items=[("6", 0.5, ["1"])])
    assert await found("category=tech,metals&n=3") == [
        *((6, None), (2, "history"), (10, "catalog")),
    ]
    # The rest of the catalog is only for those who ask for a part of it.
    assert await found("") == [(6, None), (2, "history"), (4, "history"), (5, "history")]


async def test_an_own_list_is_narrowed_and_gives_way_when_nothing_is_left(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.user_list("g1", "ABC", off=7, items=[("3", 0.5, ["1"]), ("2", 0.25, ["1"])])
    assert await recommended(client) == ("model", [2, 4, 5, 6])
    assert await recommended(client, "?category=energy") == ("history", [4])
    assert await recommended(client, "?category=metals") == ("popular", [6])


async def test_a_category_that_nothing_is_in_has_an_empty_answer(
    client: httpx.AsyncClient,
) -> None:
    assert await recommended(client, "?category=none-has-it") == ("popular", [])


async def test_an_answer_that_was_kept_is_not_given_once_the_catalog_has_changed(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    for _ in range(2):  # the second one is kept
        assert await recommended(client) == ("history", [2, 4, 5, 6])
    catalog(filled, {2: None, 3: TECH})

    @until_true
    async def changed() -> None:
        assert await recommended(client) == ("history", [3, 4, 5, 6])

    await changed()
    assert await recommended(client, "?category=tech") == ("history", [3])


async def test_baskets_and_batches_are_narrowed_as_well(client: httpx.AsyncClient) -> None:
    asked = {"category": ["tech", "energy"], "exclude_category": ["large"]}
    basket = await client.post(
        "/v1/recommendations", json={"items": [{"instrument_id": 1}]} | asked
    )
    assert said(basket.json()) == ("items", [4])
    batch = await client.post("/v1/recommendations/batch", json={"user_ids": ["ABC"]} | asked)
    assert said(batch.json()["recommendations"][0]) == ("history", [4])
