"""Instruments in answers by id and by name, over HTTP from a real store."""

import itertools
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest

from api.http.instrument_refs import as_strings
from contracts.bars import BarValue
from tests.patience import until_true

from .conftest import NOW_MS, THIS_HOUR, Filled, Serve
from .lists import BASKET, BATCH, answered, of_user

LARGE: Final = 2**63 - 1
"""As a double, it is one more."""
PREVIOUS_S: Final = NOW_MS // 60_000 * 60 - 60


@pytest.fixture
async def client(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    """A client; the catalog has all instruments but 7."""
    filled.instrument(4, "AAPL", "Apple Inc.")
    filled.instrument(LARGE, "BRK.B", "Berkshire Hathaway")
    similar = {"4": [(str(LARGE), 0.9, 5.0), ("7", 0.8, 4.0)]}
    filled.generation("g1", similar, popular=[(str(LARGE), 9.0), ("7", 3.0)])
    filled.history("ABC", {"4": (1, 5)}, off=7)
    for item in (4, LARGE):
        prices = {PREVIOUS_S - 3540: 10.0, PREVIOUS_S: 12.0}
        filled.bars(
            item, {at: BarValue(p, p, p, p, 1, 2, p, 0, 1, (0, 1)) for at, p in prices.items()}
        )
    filled.events(dict.fromkeys((4, 7, LARGE), 5), THIS_HOUR)
    async with serve() as client:
        yield client


ANSWERS: Final = (
    *("/v1/movers", "/v1/trending", "/v1/instruments/4/similar"),
    *(of_user("ABC"), of_user("nobody"), BASKET, BATCH),
)


@until_true
async def items(client: httpx.AsyncClient, path: str, **fields: Any) -> list[dict[str, Any]]:
    """Return the items of an answer, once there are any."""
    answer = await answered(client, path, **fields)
    found: list[dict[str, Any]] = answer["movers" if path == "/v1/movers" else "items"]
    assert found
    return found


async def test_instruments_come_with_their_symbols_and_on_request_with_their_names(
    client: httpx.AsyncClient,
) -> None:
    known = {4: ("AAPL", "Apple Inc."), LARGE: ("BRK.B", "Berkshire Hathaway")}
    for path, names in itertools.product(ANSWERS, (False, True, False)):
        found = await items(client, path, **({"names": True} if names else {}))
        assert LARGE in [item["instrument_id"] for item in found], path
        for item in found:
            symbol, name = known.get(item["instrument_id"], (None, None))
            assert item.get("symbol") == symbol, path
            assert item.get("name") == (name if names else None), path
            assert ("symbol" in item) == (symbol is not None), "absent, and not null"


async def test_a_new_symbol_is_in_answers_that_were_kept(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    for path in ANSWERS:
        await items(client, path)
    filled.instrument(LARGE, "BRKB", "Berkshire Hathaway")

    @until_true
    async def renamed(path: str) -> None:
        symbols = {one["instrument_id"]: one.get("symbol") for one in await items(client, path)}
        assert symbols[LARGE] == "BRKB", path

    for path in ANSWERS:
        await renamed(path)


def test_an_attribute_with_the_name_of_a_field_of_ids_stays_as_it_is() -> None:
    body = b'{"instrument_id":4,"attributes":{"instrument_id":5,"because":[6]}}'
    assert as_strings(body, (("instrument_id",),)) == body.replace(b":4,", b':"4",')
