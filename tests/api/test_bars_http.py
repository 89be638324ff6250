"""Bars, quotes and snapshots of several instruments over HTTP: names, rules and shapes."""

import httpx
import pytest

from contracts.bars import BarValue

from .conftest import NOW_MS, Filled

RUNNING = NOW_MS // 60_000 * 60


@pytest.fixture(autouse=True)
def quotes(filled: Filled) -> None:
    for instrument in (4, 5):
        bar = BarValue(1, 2, 0.5, 1.5, 2, 1, 3, 0, NOW_MS - 5, (0, 0))
        filled.bars(instrument, {RUNNING: bar, RUNNING - 60: bar})


async def test_a_request_s_own_names_come_back(client: httpx.AsyncClient) -> None:
    for path, name in (
        ("/v1/bars", "bars"),
        ("/v1/quotes/latest", "quotes"),
        ("/v1/snapshots", "snapshots"),
    ):
        answer = await client.get(path, params={"instruments": "005,4, 6,XYZ,,4"})
        assert answer.status_code == 200, answer.text
        assert list(answer.json()[name]) == ["4", "005"]
        assert answer.json()["unknown"] == ["XYZ", "6"]


async def test_only_unknown_names_are_an_answer_too(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/bars?instruments=XYZ")
    assert answer.json() == {
        "interval": "1m",
        "bars": {},
        "unknown": ["XYZ"],
        "next_page_token": None,
    }
    for path, name in (("/v1/quotes/latest", "quotes"), ("/v1/snapshots", "snapshots")):
        answer = await client.get(f"{path}?instruments=XYZ")
        assert answer.json() == {name: {}, "unknown": ["XYZ"]}


async def test_a_client_reads_page_after_page(client: httpx.AsyncClient) -> None:
    query = {"instruments": "4,5", "start": "2021-08-15T21:06:00Z", "limit": "3"}
    first = (await client.get("/v1/bars", params=query)).json()
    second = await client.get("/v1/bars", params={**query, "page_token": first["next_page_token"]})
    assert {name: len(bars) for name, bars in first["bars"].items()} == {"4": 2, "5": 1}
    assert [bar["t"] for bar in second.json()["bars"]["5"]] == [RUNNING * 1000]
    assert second.json()["next_page_token"] is None


async def test_a_quote_has_its_price_and_its_time(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/quotes/latest?instruments=4")
    assert answer.json() == {"quotes": {"4": {"price": 1.5, "ts": NOW_MS - 5}}, "unknown": []}


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/v1/instruments/4/bars?page_token=x", "page_token"),
        ("/v1/instruments/4/bars?page_token=WzUsMF0", "page_token"),
        ("/v1/instruments/4/bars?start=yesterday", "start"),
        ("/v1/bars", "instruments"),
        ("/v1/bars?instruments=,", "instruments"),
        (f"/v1/bars?instruments={','.join(map(str, range(101)))}", "instruments"),
        ("/v1/bars?instruments=99999999999999999999", "instruments"),
        ("/v1/bars?instruments=4&limit=10001", "limit"),
        ("/v1/bars?instruments=4,5&limit=1", "limit"),
        ("/v1/bars?instruments=4&page_token=W10", "page_token"),
        (f"/v1/quotes/latest?instruments={','.join(map(str, range(501)))}", "instruments"),
        (f"/v1/snapshots?instruments={','.join(map(str, range(101)))}", "instruments"),
    ],
)
async def test_a_broken_rule_names_its_field(
    client: httpx.AsyncClient, target: str, field: str
) -> None:
    answer = await client.get(target)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
