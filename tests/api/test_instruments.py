"""Bars and neighbors of instruments over HTTP, from a real store."""

from typing import Any

import httpx
import pytest

from contracts.bars import BarValue

from .conftest import NOW_MS, Filled

RUNNING = NOW_MS // 60_000 * 60
"""The running minute, epoch seconds: 21:07."""


def bar(price: float, high: float, low: float, close: float, volume: float = 10) -> BarValue:
    return BarValue(price, high, low, close, volume, 3, volume * close, 0, 0, (0, 0))


@pytest.fixture(autouse=True)
def quotes(filled: Filled) -> None:
    filled.bars(
        4,
        {
            RUNNING - 4000 * 60: bar(1, 1, 1, 1),
            RUNNING - 3 * 60: bar(30.72, 30.9, 30.1, 0.1 + 0.2),
            RUNNING - 60: bar(31, 31.5, 31, 31.25, volume=0),
            RUNNING: bar(31.25, 31.5, 31, 31.5),
        },
    )


async def bars_of(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/instruments/4/bars", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["bars"]
    return found


async def test_bars_have_their_exact_shape_oldest_first(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/instruments/4/bars")
    assert answer.headers["content-type"] == "application/json"
    minutes = [(RUNNING - 180) * 1000, (RUNNING - 60) * 1000, RUNNING * 1000]
    assert answer.json() == {
        "instrument_id": 4,
        "interval": "1m",
        "bars": [
            {
                "t": minutes[0],
                "o": 30.72,
                "h": 30.9,
                "l": 30.1,
                "c": 0.30000000000000004,
                "v": 10.0,
                "n": 3,
                "vw": 30.1,
                "closed": True,
            },
            {
                "t": minutes[1],
                "o": 31.0,
                "h": 31.5,
                "l": 31.0,
                "c": 31.25,
                "v": 0.0,
                "n": 3,
                "vw": None,
                "closed": True,
            },
            {
                "t": minutes[2],
                "o": 31.25,
                "h": 31.5,
                "l": 31.0,
                "c": 31.5,
                "v": 10.0,
                "n": 3,
                "vw": 31.5,
                "closed": False,
            },
        ],
        "next_page_token": None,
    }


async def test_the_limit_counts_buckets_not_bars(client: httpx.AsyncClient) -> None:
    assert [b["t"] // 1000 - RUNNING for b in await bars_of(client, limit=3)] == [-60, 0]


@pytest.mark.parametrize(
    "end", [RUNNING * 1000, "2021-08-15T21:07:00Z", "2021-08-15T23:07:00+02:00"]
)
async def test_an_end_makes_history_readable(client: httpx.AsyncClient, end: str | int) -> None:
    found = await bars_of(client, end=end, limit=3)
    assert [b["t"] // 1000 - RUNNING for b in found] == [-180, -60]


async def test_parameters_without_a_value_are_as_if_absent(client: httpx.AsyncClient) -> None:
    assert await bars_of(client, end="", fill="") == await bars_of(client)


async def test_an_interval_rolls_up(client: httpx.AsyncClient) -> None:
    (five,) = await bars_of(client, interval="5m", limit=1)
    assert five["t"] == (RUNNING - 120) * 1000
    assert (five["o"], five["h"], five["l"], five["c"], five["n"]) == (31, 31.5, 31, 31.5, 6)
    assert not five["closed"]


async def test_a_window_beyond_a_thousand_minutes_is_read_as_a_whole(
    client: httpx.AsyncClient,
) -> None:
    hours = await bars_of(client, interval="1h", limit=1000)
    assert [b["n"] for b in hours] == [3, 9]
    assert sum(b["n"] for b in await bars_of(client, limit=1000)) == 9


async def test_filling_repeats_the_previous_close(client: httpx.AsyncClient) -> None:
    found = await bars_of(client, fill="previous")
    assert [b["t"] // 1000 - RUNNING for b in found] == [-180, -120, -60, 0]
    close = found[0]["c"]
    assert found[1] == {
        "t": (RUNNING - 120) * 1000,
        "o": close,
        "h": close,
        "l": close,
        "c": close,
        "v": 0.0,
        "n": 0,
        "vw": None,
        "closed": True,
    }


async def test_a_known_instrument_without_bars_in_the_window_has_an_empty_list(
    client: httpx.AsyncClient,
) -> None:
    assert await bars_of(client, end=60_000) == []
    assert await bars_of(client, end=0, limit=1000, fill="previous") == []


@pytest.mark.parametrize("query", ["", "?interval=1h&limit=1000"])
async def test_an_unknown_instrument_is_a_problem(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/v1/instruments/5/bars{query}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:tickrec:problem:unknown-instrument",
        "title": "Unknown instrument",
        "status": 404,
        "detail": "Instrument 5 has no quotes",
        "instance": "/v1/instruments/5/bars",
    }


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/instruments/x", "instrument_id"),
        (f"/v1/instruments/{2**63}/bars", "instrument"),
        ("/v1/instruments/4/bars?limit=0", "limit"),
        ("/v1/instruments/4/bars?limit=1001", "limit"),
        ("/v1/instruments/4/bars?interval=2m", "interval"),
        ("/v1/instruments/4/bars?fill=zero", "fill"),
        ("/v1/instruments/4/bars?end=yesterday", "end"),
        ("/v1/instruments/4/similar?n=0", "n"),
        ("/v1/instruments/4/similar?n=201", "n"),
        (f"/v1/instruments/{2**63}/similar", "instrument"),
    ],
)
async def test_a_broken_rule_names_its_field(
    client: httpx.AsyncClient, path: str, field: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "urn:tickrec:problem:invalid-request"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["detail"].startswith(f"{field}: ")


async def test_the_largest_instrument_is_one(client: httpx.AsyncClient, filled: Filled) -> None:
    filled.bars(2**63 - 1, {RUNNING: bar(1, 1, 1, 1)})
    answer = await client.get(f"/v1/instruments/{2**63 - 1}/bars")
    assert answer.json()["instrument_id"] == 2**63 - 1


async def test_neighbors_have_their_exact_shape(client: httpx.AsyncClient, filled: Filled) -> None:
    filled.generation("g1", {"4": [("0", 0.75, 3.0), ("5", 0.5, 2.0), ("6", 0.25, 1.0)]})
    answer = await client.get("/v1/instruments/4/similar?n=2")
    assert answer.json() == {
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


async def test_an_instrument_alone_in_the_model_has_no_neighbors(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.generation("g1", {"4": []})
    answer = await client.get("/v1/instruments/4/similar")
    assert (answer.status_code, answer.json()["items"]) == (200, [])


async def test_an_instrument_that_the_model_does_not_know_is_a_problem(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.generation("g1", {})
    answer = await client.get("/v1/instruments/4/similar")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:tickrec:problem:unknown-instrument"


async def test_before_the_first_model_the_client_is_asked_to_retry(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/v1/instruments/4/similar", "/v1/users/ABC/recommendations"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:tickrec:problem:no-model-yet"
        assert int(answer.headers["retry-after"]) > 0
