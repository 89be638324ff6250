"""Similar instruments, filtered by category and without unlisted ones."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.cases import each

from .conftest import Filled, Serve
from .lists import answered, ids_of, source_and_ids

TO_4 = "/v1/instruments/4/similar"
NEIGHBORS = [(str(item), 1 / (item + 1), 2.0) for item in range(5, 60)]


@pytest.fixture
async def client(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application whose catalog knows instruments up to 50, some not listed."""
    for i in range(51):
        categories = ("even",) if i % 2 == 0 else ("odd", "third") if i % 3 == 0 else ("odd",)
        filled.instrument(i, f"S{i}", categories=categories, listed=i != 6)
    filled.instrument(70, "ONLY", categories=("lonely",))
    filled.generation(
        "g1",
        {"4": [*NEIGHBORS, ("2", -0.5, 1.0)], "9": []},
        [("4", 9), ("70", 8), ("6", 7), ("12", 6)],
    )
    async with serve() as client:
        yield client


@each(
    ("query", "expected"),
    [
        ({"n": 3}, [5, 7, 8]),  # 6 is not listed
        ({"category": "third", "n": 200}, [9, 15, 21, 27, 33, 39, 45]),
        ({"category": "even", "n": 3}, [8, 10, 12]),
        ({"category": "odd", "exclude_category": "third", "n": 4}, [5, 7, 11, 13]),
        ({"exclude_category": "odd", "n": 2}, [8, 10]),
        ({"category": "third,even", "n": 3}, [8, 9, 10]),
    ],
)
async def test_a_filter_looks_through_the_whole_list_for_what_is_listed(
    client: httpx.AsyncClient, query: dict[str, Any], expected: list[int]
) -> None:
    assert await source_and_ids(client, TO_4, **query) == ("model", expected)


async def test_what_the_catalog_does_not_know_is_shown_unless_a_category_is_asked_for(
    client: httpx.AsyncClient,
) -> None:
    assert 59 in await ids_of(client, TO_4, n=200, exclude_category="odd")
    assert max(await ids_of(client, TO_4, n=200, category="even,odd")) == 50
    predicted = (await client.get("/instruments/similar/4")).json()["predicted_items"]
    assert predicted == [str(i) for i in (5, *range(7, 16))]


async def test_a_list_that_a_filter_empties_goes_on_with_what_is_popular(
    client: httpx.AsyncClient,
) -> None:
    answer = await answered(client, TO_4, category="lonely")
    assert answer.pop("request_id").startswith("default.g1.similar.")
    assert answer == {
        "instrument_id": 4,
        "source": "popular",
        "model": "popular",
        "variant": "default",
        "generation": "g1",
        "items": [{"instrument_id": 70, "score": 8.0, "support": 0.0, "symbol": "ONLY"}],
    }
    assert await source_and_ids(client, TO_4, category="nothing") == ("popular", [])


async def test_an_instrument_that_is_like_no_other_stays_so(client: httpx.AsyncClient) -> None:
    for query in ({}, {"category": "even"}):
        assert await source_and_ids(client, TO_4.replace("4", "9"), **query) == ("model", [])
