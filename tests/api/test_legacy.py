"""The first version's read paths, with its exact shapes, from a real store."""

import httpx

from contracts.bars import BarValue
from tests.cases import each

from .conftest import RUNNING_S, Filled


def bar(price: float) -> BarValue:
    return BarValue(price, price + 1, price - 1, price + 0.5, 0, 3, 0, 0, 0, (0, 0))


async def test_the_last_five_minutes_go_by_their_utc_minute(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.bars(4, {RUNNING_S - 60 * i: bar(10 + i) for i in (0, 4, 5)})
    answer = await client.get("/instruments/4")
    assert answer.status_code == 200
    assert answer.json() == {
        "2021-08-15 21:03:00": {
            "instrid": 4,
            "price_close": 14.5,
            "price_high": 15.0,
            "price_low": 13.0,
            "price_open": 14.0,
        },
        "2021-08-15 21:07:00": {
            "instrid": 4,
            "price_close": 10.5,
            "price_high": 11.0,
            "price_low": 9.0,
            "price_open": 10.0,
        },
    }
    assert list(answer.json()) == ["2021-08-15 21:03:00", "2021-08-15 21:07:00"]


async def test_digits_mean_an_instrument_and_its_ten_most_similar(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.generation("g1", {"4": [(str(i), 1 / (i + 1), 1.0) for i in range(12) if i != 4]})
    filled.history("4", {"1": (1, 1)}, off=1)
    answer = await client.get("/instruments/similar/4")
    assert answer.json() == {"predicted_items": ["0", "1", "2", "3", "5", "6", "7", "8", "9", "10"]}


async def test_what_speaks_against_each_other_is_not_similar(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.generation("g1", {"4": [("5", 0.5, 2.0), ("6", 0.0, 1.0), ("7", -0.25, 1.0)]})
    assert (await client.get("/instruments/similar/4")).json() == {"predicted_items": ["5"]}
    answer = await client.get("/v1/instruments/4/similar")
    assert [item["instrument_id"] for item in answer.json()["items"]] == [5]
    filled.history("ABC", {"4": (1, 1)}, off=1)
    assert (await client.get("/instruments/similar/ABC")).json() == {"predicted_items": ["5"]}


@each("user", ["ABC", "4x", "-4", "٤", "a/b"])
async def test_anything_else_means_a_user_and_what_is_recommended(
    client: httpx.AsyncClient, filled: Filled, user: str
) -> None:
    filled.generation("g1", {"4": [("0", 0.5, 1.0), ("5", 0.25, 1.0)]}, popular=[("9", 1.0)])
    path = f"/instruments/similar/{user}"
    assert (await client.get(path)).json() == {"predicted_items": ["9"]}
    filled.history(user, {"4": (1, 1)}, off=1)
    assert (await client.get(path)).json() == {"predicted_items": ["0", "5", "9"]}
