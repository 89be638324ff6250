"""Bars and neighbors of instruments over HTTP, from a real store."""

import httpx
import pytest

from contracts.bars import BarValue
from tests.cases import each

from .conftest import RUNNING_S, Filled

VALUE = BarValue(1, 1, 1, 1, 10, 3, 10, 0, 0, (0, 0))


@pytest.fixture(autouse=True)
def quotes(filled: Filled) -> None:
    for instrument in (4, 5):
        filled.bars(instrument, {RUNNING_S: VALUE})


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
