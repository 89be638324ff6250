"""Pages of a list by `offset`: joined, they are the list, over HTTP from a real store."""

import itertools
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import msgspec
import pytest

from contracts.generations import Popular, PopularList
from tests.patience import until_true

from .conftest import THIS_HOUR, Filled, Serve
from .lists import BASKET, BATCH, ids_of, items_of, of_user

TECH, ENERGY = ("tech",), ("energy",)
OLD: Final = range(1, 61)
"""Even ones are of tech."""
NEW: Final = range(90, 94)
"""Of tech, without counts."""
USER: Final = of_user("techie")
ASKED: Final[dict[str, Any]] = {
    BASKET: {"items": [{"instrument_id": 2}, {"instrument_id": 4}]},
    BATCH: {"user_ids": ["techie"]},
}
LISTS: Final = (
    *(USER, of_user("own"), of_user("stranger")),
    *("/v1/instruments/2/similar", "/v1/trending", BASKET, BATCH),
)


@pytest.fixture
async def client(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    similar = {"2": [(str(item), round(1 / item, 3), 1.0) for item in range(3, 31)]}
    filled.generation("g1", similar)
    counted = PopularList("popular", [Popular(str(item), 10, 10) for item in OLD], is_whole=True)
    filled.store.set(filled.keys.model_popular("g1"), msgspec.json.encode(counted))
    filled.history("techie", {"2": (2, 5), "4": (3, 6)}, off=7)
    filled.history("own", {"2": (1, 5)}, off=7)
    filled.user_list("g1", "own", off=7, items=[("8", 0.5, ["2"]), ("3", 0.25, ["2"])])
    for item in (*OLD, *NEW):
        filled.instrument(item, f"S{item}", categories=ENERGY if item in OLD and item % 2 else TECH)
        filled.events({item: item}, THIS_HOUR)
    async with serve() as client:
        await until_counted(client)
        yield client


@until_true
async def until_counted(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/trending")).json()["items"]
    assert any(item.get("source") == "new" for item in await items_of(client, USER))


async def joined(client: httpx.AsyncClient, path: str, n: int, **more: Any) -> list[dict[str, Any]]:
    """Return all pages of a list, joined; the last one is empty."""
    more = ASKED.get(path, {}) | more
    items: list[dict[str, Any]] = []
    for offset in itertools.count(0, n):
        found = await items_of(client, path, offset=offset, n=n, **more)
        if not found:
            return items
        items += found
    raise AssertionError


async def test_pages_joined_are_the_list(client: httpx.AsyncClient) -> None:
    for path in LISTS:
        whole = await items_of(client, path, n=100, **ASKED.get(path, {}))
        assert len(whole) > 20, path
        for n in (7, 10):
            assert await joined(client, path, n) == whole, (path, n)


async def test_by_category_the_pages_have_all_of_the_catalog_once(
    client: httpx.AsyncClient,
) -> None:
    whole = await items_of(client, USER, n=100, category="tech")
    assert await joined(client, USER, 7, category="tech") == whole
    assert {item["instrument_id"] for item in whole} == {*range(6, 61, 2), *NEW}
    new = [place for place, item in enumerate(whole, 1) if item.get("source") == "new"]
    assert new == [10, 20, 30, 32]


async def test_diversified_pages_of_one_length_have_each_instrument_once(
    client: httpx.AsyncClient,
) -> None:
    for path in (USER, BASKET):
        ids = [one["instrument_id"] for one in await joined(client, path, 3, diversity=0.9)]
        plain = await ids_of(client, path, n=100, **ASKED.get(path, {}))
        assert sorted(ids) == sorted(plain), path
        assert ids != plain
