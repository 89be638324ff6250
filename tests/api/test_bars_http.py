"""Bars, quotes and snapshots of several instruments over HTTP: names, rules and shapes."""

import httpx
import pytest

from contracts.bars import BarValue

from .conftest import NOW_MS, RUNNING_S, Filled


@pytest.fixture(autouse=True)
def quotes(filled: Filled) -> None:
    for instrument in (4, 5):
        bar = BarValue(1, 2, 0.5, 1.5, 2, 1, 3, 0, NOW_MS - 5, (0, 0))
        filled.bars(instrument, {RUNNING_S: bar, RUNNING_S - 60: bar})


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
