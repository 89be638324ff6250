"""Bodies: instruments by symbol or by an id as a string, and the rules that a body may break."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest

from api.events.parsing import parse_events
from api.feedback.parsing import parse_feedback
from api.generations.request_ids import Signer
from api.recommendations.bodies import MAX_ITEMS, MAX_USERS
from contracts.messages import Interaction, Quote
from tests.cases import each
from tests.patience import until_true

from .conftest import NOW_MS, Filled, Serve
from .lists import BASKET, BATCH
from .problems import refused_fields

IDS: Final = {"aapl": 4, "brk.b": 2**63 - 1}
QUOTE: Final[dict[str, Any]] = {"type": "quote", "price": 30.72, "ts": NOW_MS}
TRADE: Final[dict[str, Any]] = {"type": "interaction", "user_id": "ABC", "ts": NOW_MS}


def resolve(symbol: str) -> int | None:
    return IDS.get(symbol.casefold())


@pytest.mark.parametrize(("sent", "item"), [(4, 4), ("4", 4), ("AAPL", 4), ("brk.B", 2**63 - 1)])
def test_events_and_feedback_name_instruments_by_id_or_symbol(sent: int | str, item: int) -> None:
    body = json.dumps([QUOTE | {"instrument_id": sent}, TRADE | {"instrument_id": sent}]).encode()
    assert parse_events(body, NOW_MS, resolve=resolve) == [
        Quote(instrument_id=item, price=30.72, ts=NOW_MS),
        Interaction(user_id="ABC", instrument_id=item, ts=NOW_MS),
    ]
    signer = Signer(b"key")
    click = {
        "type": "click",
        "request_id": signer.new("default", "g1", "history", "ABC", [item]),
        "user_id": "ABC",
        "instrument_id": sent,
        "position": 1,
    }
    (found,) = parse_feedback(json.dumps(click).encode(), signer, NOW_MS, resolve=resolve)
    assert found.instrument_id == item


@pytest.fixture
async def client(serve: Serve, filled: Filled, lists: None) -> AsyncIterator[httpx.AsyncClient]:
    for item, symbol in ((1, "ONE"), (2, "TWO"), (3, "THREE")):
        filled.instrument(item, symbol)
    filled.history("ABC", {"1": (1, 5)}, off=7)
    async with serve() as client:
        yield client


async def test_baskets_and_batches_name_instruments_by_symbol(client: httpx.AsyncClient) -> None:
    for body, same in (
        ({"items": [{"instrument_id": "two"}]}, {"items": [{"instrument_id": 2}]}),
        (
            {"items": [{"instrument_id": "1"}], "exclude": ["TWO", "3"]},
            {"items": [{"instrument_id": 1}], "exclude": [2, 3]},
        ),
    ):
        by_symbol, by_id = [
            (await client.post(BASKET, json=one)).json()["items"] for one in (body, same)
        ]
        assert by_symbol == by_id
        assert by_symbol, body
    batch = await client.post(BATCH, json={"user_ids": ["ABC"], "exclude": ["TWO"]})
    (own,) = batch.json()["recommendations"]
    assert 2 not in [item["instrument_id"] for item in own["items"]]


ONE: Final[dict[str, Any]] = {"instrument_id": 4}
XYZ: Final = {"instrument_id": "XYZ"}
OF_4: Final = "/v1/instruments/4"
APPLE: Final[dict[str, Any]] = {"symbol": "AAPL", "name": "Apple Inc."}


@each(
    ("path", "body", "field"),
    [
        ("/v1/events", QUOTE | XYZ, "instrument_id"),
        ("/v1/events", QUOTE | {"instrument_id": str(2**63)}, "instrument_id"),
        (BASKET, {"items": [{"instrument_id": "ONE"}, XYZ]}, "items[1].instrument_id"),
        (BASKET, {"items": [ONE], "exclude": ["TWO", "XYZ"]}, "exclude[1]"),
        (BATCH, {"user_ids": ["A"], "exclude": ["XYZ"]}, "exclude[0]"),
        (BASKET, [], "body"),
        (BASKET, {}, "items"),
        (BASKET, {"items": []}, "items"),
        (BASKET, {"items": [ONE] * (MAX_ITEMS + 1)}, "items"),
        (BASKET, {"items": [{"instrument_id": -1}]}, "items[0].instrument_id"),
        (BASKET, {"items": [ONE | {"weight": 0}]}, "items[0].weight"),
        (BASKET, {"items": [ONE, ONE | {"wieght": 2}]}, "items[1].wieght"),
        (BASKET, {"items": [ONE], "n": 101}, "n"),
        (BASKET, {"items": [ONE], "offset": 901}, "offset"),
        (BASKET, {"items": [ONE], "exclude": [*range(1001)]}, "exclude"),
        (BASKET, {"items": [ONE], "category": ["a b"]}, "category[0]"),
        *((BASKET, {"items": [ONE], field: ["x"] * 6}, field) for field in ("filter", "boost")),
        *((BASKET, {"items": [ONE], field: [""]}, f"{field}[0]") for field in ("filter", "boost")),
        (BATCH, {"user_ids": []}, "user_ids"),
        (BATCH, {"user_ids": ["u"] * (MAX_USERS + 1)}, "user_ids"),
        (BATCH, {"user_ids": ["ABC", ""]}, "user_ids[1]"),
        (BATCH, {"user_ids": ["ABC", "é" * 65]}, "user_ids[1]"),
        (OF_4, APPLE | {"symbol": "a b"}, "symbol"),
        (OF_4, APPLE | {"name": "x" * 201}, "name"),
        (OF_4, APPLE | {"categories": ["a", "b c"]}, "categories[1]"),
        (OF_4, APPLE | {"listed": "yes"}, "listed"),
        (OF_4, APPLE | {"attributes": {"a": None}}, "attributes[...]"),
        (OF_4, APPLE | {"attributes": {"a": "x" * 9000}}, "body"),
        *(  # no symbol takes the path of another resource
            (OF_4, APPLE | {"symbol": symbol}, "symbol")
            for symbol in ("", "..", "GELA/bars", "GELA/Similar", "A//B", "A/")
        ),
        ("/v1/instruments/AAPL", APPLE, "instrument"),  # it is described by its id only
        (f"/v1/instruments/{2**63}", APPLE, "instrument"),
    ],
)
async def test_a_body_that_breaks_a_rule_is_refused_by_its_field(
    client: httpx.AsyncClient, path: str, body: Any, field: str
) -> None:
    method = "PUT" if path.startswith("/v1/instruments") else "POST"
    answer = await client.request(method, path, json=body)
    assert refused_fields(answer) == [field]
    if "XYZ" in str(body):
        assert "'XYZ' is the symbol of no instrument: publish it" in answer.json()["detail"]
    if field == "instrument":
        assert refused_fields(await client.delete(path)) == [field]


@pytest.mark.usefixtures("topology")
async def test_events_by_symbol_are_accepted(writing: httpx.AsyncClient, filled: Filled) -> None:
    filled.instrument(1, "ONE")
    events = [QUOTE | {"instrument_id": "ONE"}, TRADE | {"instrument_id": "1"}]

    @until_true
    async def accepted() -> None:  # once the catalog is read
        answer = await writing.post("/v1/events", json=events)
        assert answer.json() == {"quotes": 1, "interactions": 1, "late": 0}

    await accepted()
