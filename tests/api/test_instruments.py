"""Bars and neighbors of instruments over HTTP, from a real store."""

import httpx
import pytest

from contracts.bars import BarValue
from tests.cases import each

from .conftest import RUNNING_S, Filled
from .problems import problem


def bar(price: float, high: float, low: float, close: float, volume: float = 10) -> BarValue:
    return BarValue(price, high, low, close, volume, 3, volume * close, 0, 0, (0, 0))


@pytest.fixture(autouse=True)
def quotes(filled: Filled) -> None:
    filled.bars(
        4,
        {
            RUNNING_S - 3 * 60: bar(30.72, 30.9, 30.1, 0.1 + 0.2),
            RUNNING_S - 60: bar(31, 31.5, 31, 31.25, volume=0),
            RUNNING_S: bar(31.25, 31.5, 31, 31.5),
        },
    )
    filled.bars(5, {RUNNING_S: bar(1, 1, 1, 1)})


FIELDS = ("t", "o", "h", "l", "c", "v", "n", "vw", "closed")


async def test_bars_have_their_exact_shape_oldest_first(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/instruments/4/bars?fill=previous")
    assert answer.headers["content-type"] == "application/json"
    close = 0.30000000000000004
    bars = [
        (RUNNING_S - 180, 30.72, 30.9, 30.1, close, 10.0, 3, 30.1, True),
        (RUNNING_S - 120, close, close, close, close, 0.0, 0, None, True),
        (RUNNING_S - 60, 31.0, 31.5, 31.0, 31.25, 0.0, 3, None, True),
        (RUNNING_S, 31.25, 31.5, 31.0, 31.5, 10.0, 3, 31.5, False),
    ]
    assert answer.json() == {
        "instrument_id": 4,
        "interval": "1m",
        "bars": [dict(zip(FIELDS, (1000 * start, *rest), strict=True)) for start, *rest in bars],
        "next_page_token": None,
    }


@each(
    ("query", "expected"),
    [
        ("?end=&fill=", [(-180, 3), (-60, 3), (0, 3)]),  # without a value is as if absent
        (f"?limit=3&end={RUNNING_S * 1000}", [(-180, 3), (-60, 3)]),
        ("?limit=3&end=2021-08-15T21:07:00Z", [(-180, 3), (-60, 3)]),
        ("?limit=3&end=2021-08-15T23:07:00+02:00", [(-180, 3), (-60, 3)]),
        ("?end=60000", []),
        ("?end=0&limit=1000&fill=previous", []),
    ],
)
async def test_bars_are_those_of_the_window_that_is_asked_for(
    client: httpx.AsyncClient, query: str, expected: list[tuple[int, int]]
) -> None:
    bars = (await client.get(f"/v1/instruments/4/bars{query}")).json()["bars"]
    assert [(bar["t"] // 1000 - RUNNING_S, bar["n"]) for bar in bars] == expected


async def test_neighbors_have_their_exact_shape(client: httpx.AsyncClient, filled: Filled) -> None:
    filled.generation("g1", {"4": [("0", 0.75, 3.0), ("5", 0.5, 2.0), ("6", 0.25, 1.0)]})
    answer = await client.get("/v1/instruments/4/similar?n=2")
    found = answer.json()
    assert found.pop("request_id").startswith("default.g1.similar.AAAFAA.")
    assert found == {
        "instrument_id": 4,
        "source": "model",
        "model": "cosine",
        "variant": "default",
        "generation": "g1",
        "items": [
            {"instrument_id": 0, "score": 0.75, "support": 3.0},
            {"instrument_id": 5, "score": 0.5, "support": 2.0},
        ],
    }


@each("path", ["/v1/instruments/4/similar", "/instruments/similar/4"])
async def test_an_instrument_that_the_model_does_not_know_is_a_problem(
    client: httpx.AsyncClient, filled: Filled, path: str
) -> None:
    filled.generation("g1", {})
    assert problem(await client.get(path)) == (404, "unknown-instrument")


@each(
    ("path", "name"),
    [("/v1/bars", "bars"), ("/v1/quotes/latest", "quotes"), ("/v1/snapshots", "snapshots")],
)
async def test_a_request_s_own_names_come_back_known_or_not(
    client: httpx.AsyncClient, path: str, name: str
) -> None:
    answer = await client.get(path, params={"instruments": "005,4, 6,XYZ,,4"})
    assert answer.status_code == 200, answer.text
    assert list(answer.json()[name]) == ["4", "005"]
    assert answer.json()["unknown"] == ["XYZ", "6"]
    unknown = (await client.get(path, params={"instruments": "XYZ"})).json()
    more = {"interval": "1m", "next_page_token": None} if name == "bars" else {}
    assert unknown == {name: {}, "unknown": ["XYZ"], **more}
