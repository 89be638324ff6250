"""CSV, Arrow and Parquet have the bars of the JSON answer, and its rest next to them."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any, Final

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.bars import tables
from api.http.forms import ARROW, CSV, PARQUET, Form, chosen
from api.http.problems import Problem
from contracts.bars import BarValue
from tests.cases import each

from .conftest import RUNNING_S, Filled, Serve

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


def rows_of_table(table: pa.Table) -> list[dict[str, Any]]:
    assert table.schema.field("t").type == pa.timestamp("ms", "UTC")
    place = table.schema.get_field_index("t")
    return list(table.set_column(place, "t", table["t"].cast(pa.int64())).to_pylist())


READ: Final[dict[str, Callable[[bytes], list[dict[str, Any]]]]] = {
    CSV: rows_of_csv,
    ARROW: lambda body: rows_of_table(pa.ipc.open_stream(body).read_all()),
    PARQUET: lambda body: rows_of_table(pq.read_table(pa.BufferReader(body))),
}


def as_rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the bars of a JSON answer as rows."""
    bars = answer.pop("bars")
    if isinstance(bars, list):
        return [{"partial": False, **bar} for bar in bars]
    return [
        {"instrument": name, "partial": False, **bar} for name, own in bars.items() for bar in own
    ]


@each("media_type", READ)
@each("path", [ONE, MANY, f"{ONE}&end=1", f"{ONE}&ids=string"])
async def test_every_form_has_the_bars_of_the_json_answer(
    client: httpx.AsyncClient, path: str, media_type: str
) -> None:
    whole = (await client.get(path)).json()
    answer = await client.get(path, headers={"Accept": media_type})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == media_type
    assert READ[media_type](answer.content) == as_rows(whole)
    assert json.loads(answer.headers["tickrec-answer"]) == whole  # without the bars
    known = {"Accept": media_type, "If-None-Match": answer.headers["etag"]}
    assert (await client.get(path, headers=known)).status_code == 304
    assert (await client.get(path, headers={**known, "Accept": "*/*"})).status_code == 200


async def test_a_file_carries_the_rest_of_the_answer(client: httpx.AsyncClient) -> None:
    rest = (await client.get(MANY)).json()
    del rest["bars"]
    stream = (await client.get(MANY, headers={"Accept": ARROW})).content
    file = (await client.get(MANY, headers={"Accept": PARQUET})).content
    for schema in (pa.ipc.open_stream(stream).schema, pq.read_schema(pa.BufferReader(file))):
        assert json.loads(schema.metadata[b"tickrec"]) == rest


async def test_caches_tell_forms_apart_and_problems_stay_problems(
    client: httpx.AsyncClient,
) -> None:
    for accept in ("*/*", CSV):
        answer = await client.get(ONE, headers={"Accept": accept})
        assert answer.headers["vary"] == "Accept"
    wrong = await client.get("/v1/instruments/77/bars", headers={"Accept": CSV})
    assert wrong.headers["content-type"] == "application/problem+json"
    other = await client.get("/v1/quotes/latest?instruments=4", headers={"Accept": CSV})
    assert other.headers["content-type"] == "application/json"


async def test_without_pyarrow_arrow_is_refused_with_a_remedy(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    async with serve() as client:
        for path in (ONE, MANY):
            answer = await client.get(path, headers={"Accept": f"{PARQUET}, {ARROW};q=0.5"})
            assert answer.status_code == 406
            assert answer.json()["type"] == "urn:tickrec:problem:not-acceptable"
            assert "install tickrec[archive], or accept text/csv" in answer.json()["detail"]
            answer = await client.get(path, headers={"Accept": f"{PARQUET}, {CSV};q=0.5"})
            assert answer.headers["content-type"] == CSV


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", None),
        ("*/*", None),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", None),
        ("text/*", None),
        ("application/xml", None),
        (CSV, CSV),
        ("Text/CSV; charset=utf-8", CSV),
        (f"{CSV}, */*", CSV),
        (f"{CSV}, application/json", None),
        (f"{CSV};q=0.9, application/json;q=0.8", CSV),
        (f"{CSV};q=0.5, {ARROW};q=0.6", ARROW),
        (f"{CSV};q=0.5, */*;q=0.6", None),
        (f"{CSV};q=0", None),
        (f"{CSV};q=x", None),
        (f"{CSV};q=2, application/json;q=0.1", None),
        (f"{CSV};q=1.000, application/json;q=0.999", CSV),
        (f"{CSV};q=", None),
    ],
)
def test_a_form_is_the_one_that_accept_prefers(accept: str, media_type: str | None) -> None:
    form = chosen([accept], tables.forms())
    assert (form.media_type if form else None) == media_type


def test_json_that_is_accepted_too_is_no_problem() -> None:
    forms = (Form(ARROW, "bars", tables.as_arrow, "pyarrow"),)
    assert chosen([ARROW, "application/json;q=0.1"], forms) is None
    with pytest.raises(Problem, match="needs pyarrow"):
        chosen([ARROW], forms)
