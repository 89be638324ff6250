"""New listings are recommended to those whom they concern, over HTTP from a real store."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from contracts.generations import Popular, PopularList
from tests.patience import until_true

from .conftest import Filled, Serve
from .lists import items_of, of_user, sources_of

TECH, ENERGY, ALL = ("tech", "all"), ("energy", "all"), ("all",)
TECHIE = of_user("techie")
OLD = range(1, 41)
"""Even ones are of tech."""
NEW_TECH, NEWER_TECH, NEW_ENERGY, NEW = 90, 91, 92, 93


def popular(
    filled: Filled, items: list[int], generation: str = "g1", *, is_whole: bool = True
) -> None:
    """Have some items be the only ones with counts."""
    found = PopularList("popular", [Popular(str(item), 10, 10) for item in items], is_whole)
    filled.store.set(filled.keys.model_popular(generation), msgspec.json.encode(found))


@pytest.fixture
async def client(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    filled.generation("g1", {"2": [(str(item), 1 / item, 1.0) for item in range(3, 41)]})
    popular(filled, [*OLD])
    filled.history("techie", {"2": (2, 5), "4": (3, 6)}, off=7)
    filled.history("anybody", {"2": (1, 5), "1": (1, 6)}, off=7)
    for item in OLD:
        filled.instrument(item, f"S{item}", categories=ENERGY if item % 2 else TECH)
    async with serve() as client:
        yield client


async def new_of(client: httpx.AsyncClient, path: str = TECHIE, **query: Any) -> list[int]:
    return [item for item, source in await sources_of(client, path, **query) if source == "new"]


def list_some(filled: Filled) -> None:
    filled.instrument(NEW_TECH, "N", categories=TECH)
    filled.instrument(NEWER_TECH, "NN", categories=TECH)
    filled.instrument(NEW_ENERGY, "NE", categories=ENERGY)
    filled.instrument(NEW, "NA", categories=ALL)


async def test_a_new_listing_takes_one_place_of_ten_of_users_whose_history_is_of_its_category(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    before = await sources_of(client, TECHIE)
    assert len(before) == 10
    assert {source for _, source in before} == {None}
    list_some(filled)

    @until_true
    async def shown() -> None:
        assert await sources_of(client, TECHIE) == [*before[:9], (NEWER_TECH, "new")]

    await shown()
    assert (await items_of(client, TECHIE))[-1] == {
        "instrument_id": NEWER_TECH,
        "score": 0.5,  # all of the history, and half of the counts
        "because": [4, 2],
        "source": "new",
        "symbol": "NN",
    }
    assert await new_of(client, n=20) == [NEWER_TECH, NEW_TECH]
    assert await new_of(client, n=9) == []
    assert await new_of(client, exclude=NEWER_TECH) == [NEW_TECH]
    # Half of the counts, and half of the history: all have as much to do with it.
    assert await new_of(client, of_user("anybody")) == []
    assert await new_of(client, of_user("stranger")) == []
    filled.history("techie", {"2": (2, 5), "4": (3, 6), str(NEWER_TECH): (9, 7)}, off=8)
    own = {item for item, source in await sources_of(client, TECHIE, repeats="first", n=3)}
    assert own == {2, 4, NEWER_TECH}
    assert await new_of(client, repeats="first") == [NEW_TECH]


async def test_with_counts_or_unlisted_it_is_no_new_listing(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    list_some(filled)
    filled.instrument(NEWER_TECH, "NN", categories=TECH, listed=False)

    @until_true
    async def shown() -> None:
        assert await new_of(client) == [NEW_TECH]

    await shown()
    filled.generation("g2", {"2": [("3", 0.5, 1.0)]})
    popular(filled, [*OLD, NEW_TECH], "g2")

    @until_true
    async def gone() -> None:
        assert await new_of(client) == []

    await gone()
    filled.instrument(NEW + 1, "NNN", categories=TECH)

    @until_true
    async def another() -> None:
        assert await new_of(client) == [NEW + 1]

    await another()


async def test_where_not_all_items_with_counts_are_known_none_is_new(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    popular(filled, [*OLD], is_whole=False)
    list_some(filled)

    @until_true
    async def known() -> None:
        assert (await client.get(f"/v1/instruments/{NEW}")).is_success

    await known()
    assert await new_of(client) == []
