"""Recommendations by category, and of listed instruments only, over HTTP from a real store."""

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from tests.cases import each
from tests.patience import until_true

from .conftest import Filled, Serve
from .lists import BASKET, BATCH, of_user, source_and_ids, sources_of

ENERGY, TECH = ("energy",), ("tech", "large")
ABC = of_user("ABC")


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


@each(
    ("query", "expected"),
    [
        ({}, ("history", [2, 4, 5, 6])),
        ({"category": "tech"}, ("history", [2])),
        ({"category": "tech,energy"}, ("history", [2, 4])),
        ({"exclude_category": "large", "n": 2}, ("history", [4, 5])),
        ({"category": "tech,energy", "exclude_category": "tech"}, ("history", [4])),
        ({"category": "", "exclude_category": ""}, ("history", [2, 4, 5, 6])),
        ({"category": "tech,energy", "exclude": 2}, ("history", [4])),
        ({"category": "tech,energy", "n": 1}, ("history", [2])),
        ({"category": "none-has-it"}, ("popular", [])),
    ],
)
async def test_categories_narrow_what_is_recommended_and_what_is_not_listed_never_is(
    client: httpx.AsyncClient, query: dict[str, str], expected: tuple[str, list[int]]
) -> None:
    assert await source_and_ids(client, ABC, **query) == expected
    if not query:
        assert await source_and_ids(client, of_user("nobody")) == ("popular", [2, 6])
        first_version = (await client.get("/instruments/similar/ABC")).json()
        assert first_version == {"predicted_items": [str(item) for item in expected[1]]}


async def test_a_filter_gets_as_many_as_there_are_popular_ones_first_and_each_with_its_source(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    catalog(filled, {1: TECH, 2: TECH, 8: ("metals",), 9: TECH, 10: TECH, 11: ENERGY, 7: None})
    both = "tech,metals"

    @until_true
    async def complete() -> None:
        assert await sources_of(client, ABC, category=both) == [
            *((2, None), (6, "popular")),
            *((10, "catalog"), (8, "catalog"), (9, "catalog")),
        ]

    await complete()
    first = await sources_of(client, ABC, category=both, n=3)
    assert first == [(2, None), (6, "popular"), (10, "catalog")]
    # What has no category at all is shown, too, unless the catalog says that it is not listed.
    others = await sources_of(client, ABC, exclude_category=both, n=3)
    assert others == [(4, None), (5, None), (11, "catalog")]
    filled.user_list("g1", "ABC", off=7, items=[("6", 0.5, ["1"])])
    own = await sources_of(client, ABC, category=both, n=3)
    assert own == [(6, None), (2, "history"), (10, "catalog")]
    # The rest of the catalog is only for those who ask for a part of it.
    whole = await sources_of(client, ABC)
    assert whole == [(6, None), (2, "history"), (4, "history"), (5, "history")]


async def test_an_own_list_is_narrowed_and_gives_way_when_nothing_is_left(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.user_list("g1", "ABC", off=7, items=[("3", 0.5, ["1"]), ("2", 0.25, ["1"])])
    assert await source_and_ids(client, ABC) == ("model", [2, 4, 5, 6])
    assert await source_and_ids(client, ABC, category="energy") == ("history", [4])
    assert await source_and_ids(client, ABC, category="metals") == ("popular", [6])


async def test_an_answer_that_was_kept_is_not_given_once_the_catalog_has_changed(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    for _ in range(2):  # the second one is kept
        assert await source_and_ids(client, ABC) == ("history", [2, 4, 5, 6])
    catalog(filled, {2: None, 3: TECH})

    @until_true
    async def changed() -> None:
        assert await source_and_ids(client, ABC) == ("history", [3, 4, 5, 6])

    await changed()
    assert await source_and_ids(client, ABC, category="tech") == ("history", [3])


async def test_baskets_and_batches_are_narrowed_as_well(client: httpx.AsyncClient) -> None:
    asked = {"category": ["tech", "energy"], "exclude_category": ["large"]}
    items = [{"instrument_id": 1}]
    assert await source_and_ids(client, BASKET, items=items, **asked) == ("items", [4])
    assert await source_and_ids(client, BATCH, **asked) == ("history", [4])
