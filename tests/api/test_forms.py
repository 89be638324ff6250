"""The forms of answers: as CSV, with names, by the request's own names, and the first version's."""

import csv
import io
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest

from api.http.instrument_refs import as_strings
from api.http.reply import CSV, prefers_csv
from contracts.bars import BarValue
from tests.cases import each
from tests.patience import until_true

from .asking import BASKET, BATCH, answered, of_user
from .conftest import NOW_MS, RUNNING_S, THIS_HOUR, Filled, Serve

ONE: Final = "/v1/instruments/4/bars?start=0&limit=3"
MANY: Final = "/v1/bars?instruments=4,5,XYZ&start=0&limit=5"


@pytest.fixture
def quotes(filled: Filled) -> None:
    for instrument in (4, 5):
        bars = {
            RUNNING_S - 60 * n: BarValue(1.5 + n, 9, 0.1, 2, n, 4, n * 3, 0, 1, (0, n))
            for n in range(4)
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


@pytest.mark.usefixtures("quotes")
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


@pytest.mark.usefixtures("quotes")
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


@pytest.mark.usefixtures("quotes")
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


LARGE: Final = 2**63 - 1
"""As a double, it is one more."""
PREVIOUS_S: Final = NOW_MS // 60_000 * 60 - 60


@pytest.fixture
async def named(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
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
async def items(named: httpx.AsyncClient, path: str, **fields: Any) -> list[dict[str, Any]]:
    """Return the items of an answer, once there are any."""
    answer = await answered(named, path, **fields)
    found: list[dict[str, Any]] = answer["movers" if path == "/v1/movers" else "items"]
    assert found
    return found


async def test_instruments_come_with_their_symbols_and_on_request_with_their_names(
    named: httpx.AsyncClient,
) -> None:
    known = {4: ("AAPL", "Apple Inc."), LARGE: ("BRK.B", "Berkshire Hathaway")}
    for path, names in itertools.product(ANSWERS, (False, True, False)):
        found = await items(named, path, **({"names": True} if names else {}))
        assert LARGE in [item["instrument_id"] for item in found], path
        for item in found:
            symbol, name = known.get(item["instrument_id"], (None, None))
            assert item.get("symbol") == symbol, path
            assert item.get("name") == (name if names else None), path
            assert ("symbol" in item) == (symbol is not None), "absent, and not null"


async def test_a_new_symbol_is_in_answers_that_were_kept(
    named: httpx.AsyncClient, filled: Filled
) -> None:
    for path in ANSWERS:
        await items(named, path)
    filled.instrument(LARGE, "BRKB", "Berkshire Hathaway")

    @until_true
    async def renamed(path: str) -> None:
        symbols = {one["instrument_id"]: one.get("symbol") for one in await items(named, path)}
        assert symbols[LARGE] == "BRKB", path

    for path in ANSWERS:
        await renamed(path)


def test_an_attribute_with_the_name_of_a_field_of_ids_stays_as_it_is() -> None:
    body = b'{"instrument_id":4,"attributes":{"instrument_id":5,"because":[6]}}'
    assert as_strings(body, (("instrument_id",),)) == body.replace(b":4,", b':"4",')
