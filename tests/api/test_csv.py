"""CSV has the bars of the JSON answer, and its rest in a header."""

import csv
import io
import json
from typing import Any, Final

import httpx
import pytest

from api.http.reply import CSV, prefers_csv
from contracts.bars import BarValue
from tests.cases import each

from .conftest import RUNNING_S, Filled

ONE: Final = "/v1/instruments/4/bars?start=0&limit=3"
MANY: Final = "/v1/bars?instruments=4,5,XYZ&start=0&limit=5"


@pytest.fixture(autouse=True)
def quotes(filled: Filled) -> None:
    for instrument in (4, 5):
        ages = range(4)
        bars = {
            RUNNING_S - 60 * n: BarValue(1.5 + n, 9, 0.1, 2, n, 4, n * 3, 0, 1, (0, n))
            for n in ages
        }
        filled.bars(instrument, bars)


def rows_of_csv(body: bytes) -> list[dict[str, Any]]:
    rows = csv.DictReader(io.StringIO(body.decode(), newline=""))
    read = {"t": int, "n": int, "instrument": str}
    words = {"": None, "true": True, "false": False}
    return [
        {
            name: words[text] if text in words else read.get(name, float)(text)
            for name, text in row.items()
        }
        for row in rows
    ]


def as_rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the bars of a JSON answer as rows."""
    bars = answer.pop("bars")
    if isinstance(bars, list):
        return [{"partial": False, **bar} for bar in bars]
    return [
        {"instrument": name, "partial": False, **bar} for name, own in bars.items() for bar in own
    ]


@each("path", [ONE, MANY, f"{ONE}&end=1", f"{ONE}&ids=string"])
async def test_csv_has_the_bars_of_the_json_answer(client: httpx.AsyncClient, path: str) -> None:
    whole = (await client.get(path)).json()
    answer = await client.get(path, headers={"Accept": CSV})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == CSV
    assert rows_of_csv(answer.content) == as_rows(whole)
    assert json.loads(answer.headers["tickrec-answer"]) == whole  # without the bars
    known = {"Accept": CSV, "If-None-Match": answer.headers["etag"]}
    assert (await client.get(path, headers=known)).status_code == 304
    assert (await client.get(path, headers={**known, "Accept": "*/*"})).status_code == 200


async def test_caches_tell_csv_apart_and_problems_stay_problems(
    client: httpx.AsyncClient,
) -> None:
    for accept in ("*/*", CSV):
        answer = await client.get(ONE, headers={"Accept": accept})
        assert answer.headers["vary"] == "Accept"
    wrong = await client.get("/v1/instruments/77/bars", headers={"Accept": CSV})
    assert wrong.headers["content-type"] == "application/problem+json"
    other = await client.get("/v1/quotes/latest?instruments=4", headers={"Accept": CSV})
    assert other.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/*", False),
        ("application/xml", False),
        (CSV, True),
        ("Text/CSV; charset=utf-8", True),
        (f"{CSV}, */*", True),
        (f"{CSV}, application/json", False),
        (f"{CSV};q=0.9, application/json;q=0.8", True),
        (f"{CSV};q=0.5, */*;q=0.6", False),
        (f"{CSV};q=0", False),
        (f"{CSV};q=x", False),
        (f"{CSV};q=2, application/json;q=0.1", False),
        (f"{CSV};q=1.000, application/json;q=0.999", True),
        (f"{CSV};q=", False),
    ],
)
def test_csv_comes_if_accept_prefers_it(accept: str, *, is_csv: bool) -> None:
    assert prefers_csv([accept]) is is_csv
