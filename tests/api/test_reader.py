"""Generations that are replaced while they are read."""

from collections.abc import AsyncIterator

import pytest

from api.reader import GenerationReplacedError, Reader
from api.recommend import Wish
from runtime.stores import connect_async

from .conftest import TOPOLOGY, Filled

ALL = Wish(10, frozenset(), include_seen=False)


class Flipping:
    """A client of the real store that does something after each of the first pointer reads."""

    def __init__(self, client: object, filled: Filled, flips: list[str]) -> None:
        self._client = client
        self._filled = filled
        self._flips = flips

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    async def get(self, key: str) -> object:
        value = await self._client.get(key)  # type: ignore[attr-defined]
        if key == self._filled.keys.model_current() and self._flips:
            self._filled.point_to(self._flips.pop(0))
        return value


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[object]:
    client = await connect_async(store_url, "tests")
    yield client
    await client.aclose()


def reader(client: object, filled: Filled, flips: list[str]) -> Reader:
    return Reader(Flipping(client, filled, flips), filled.keys, TOPOLOGY)  # type: ignore[arg-type]


async def test_a_generation_that_expired_under_the_reader_gives_way_to_the_new_one(
    client: object, filled: Filled
) -> None:
    filled.generation("new", {"4": [("5", 0.5, 1.0)]}, popular=[("7", 1.0)])
    filled.point_to("expired")
    found = await reader(client, filled, ["new"]).similar(4)
    assert found is not None
    assert found[0].name == "new"
    filled.point_to("expired")
    generation, chosen = await reader(client, filled, ["new"]).recommendations("ABC", ALL)
    assert (generation.name, chosen.items[0].instrument_id) == ("new", 7)


async def test_generations_that_expire_faster_than_they_are_read_are_an_error(
    client: object, filled: Filled
) -> None:
    filled.point_to("a")
    with pytest.raises(GenerationReplacedError):
        await reader(client, filled, ["b", "c"]).similar(4)


async def test_a_generation_without_a_popular_list_is_an_error(
    client: object, filled: Filled
) -> None:
    filled.point_to("torn")
    with pytest.raises(GenerationReplacedError):
        await reader(client, filled, []).recommendations("ABC", ALL)
