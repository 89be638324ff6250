"""Bodies: instruments by symbol or by an id as a string, unknown fields, and forbidden symbols."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest

from api.events.parsing import InvalidEventsError, parse_events
from api.feedback.parsing import parse_feedback
from api.generations.request_ids import Signer
from contracts.messages import Interaction, Quote
from tests.cases import each
from tests.patience import until_true

from .conftest import NOW_MS, Filled, Serve
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


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("XYZ", "instrument_id 'XYZ' is the symbol of no instrument: send the id instead"),
        ("9223372036854775808", "instrument_id must be a whole number from 0 to"),
    ],
)
def test_an_event_of_an_unknown_symbol_is_refused_by_its_index_and_field(
    sent: str, reason: str
) -> None:
    body = json.dumps([QUOTE | {"instrument_id": one} for one in (4, sent)]).encode()
    with pytest.raises(InvalidEventsError) as refused:
        parse_events(body, NOW_MS, resolve=resolve)
    (error,) = refused.value.errors
    assert (error.index, error.field) == (1, "instrument_id")
    assert error.reason.startswith(reason)


@pytest.fixture
async def client(serve: Serve, filled: Filled, lists: None) -> AsyncIterator[httpx.AsyncClient]:
    for item, symbol in ((1, "ONE"), (2, "TWO"), (3, "THREE")):
        filled.instrument(item, symbol)
    filled.history("ABC", {"1": (1, 5)}, off=7)
    async with serve() as client:
        yield client


async def test_baskets_and_batches_name_instruments_by_symbol(client: httpx.AsyncClient) -> None:
    basket = "/v1/recommendations"
    for body, same in (
        ({"items": [{"instrument_id": "two"}]}, {"items": [{"instrument_id": 2}]}),
        (
            {"items": [{"instrument_id": "1"}], "exclude": ["TWO", "3"]},
            {"items": [{"instrument_id": 1}], "exclude": [2, 3]},
        ),
    ):
        by_symbol, by_id = [
            (await client.post(basket, json=one)).json()["items"] for one in (body, same)
        ]
        assert by_symbol == by_id
        assert by_symbol, body
    batch = await client.post(f"{basket}/batch", json={"user_ids": ["ABC"], "exclude": ["TWO"]})
    (own,) = batch.json()["recommendations"]
    assert 2 not in [item["instrument_id"] for item in own["items"]]


async def test_an_unknown_symbol_in_a_body_is_refused_by_name(client: httpx.AsyncClient) -> None:
    items = [{"instrument_id": "ONE"}, {"instrument_id": "XYZ"}]
    event = QUOTE | {"instrument_id": "XYZ"}
    for path, body, field in (
        ("/v1/recommendations", {"items": items}, "items[1].instrument_id"),
        ("/v1/recommendations", {"items": items[:1], "exclude": ["TWO", "XYZ"]}, "exclude[1]"),
        ("/v1/recommendations/batch", {"user_ids": ["A"], "exclude": ["XYZ"]}, "exclude[0]"),
        ("/v1/events", event, "instrument_id"),
    ):
        answer = await client.post(path, json=body)
        assert answer.status_code == 422
        assert refused_fields(answer) == [field]
        assert "'XYZ' is the symbol of no instrument" in answer.json()["detail"]


@pytest.mark.usefixtures("topology")
async def test_events_by_symbol_are_accepted(writing: httpx.AsyncClient, filled: Filled) -> None:
    filled.instrument(1, "ONE")
    events = [QUOTE | {"instrument_id": "ONE"}, TRADE | {"instrument_id": "1"}]

    @until_true
    async def accepted() -> None:  # once the catalog is read
        answer = await writing.post("/v1/events", json=events)
        assert answer.json() == {"quotes": 1, "interactions": 1}

    await accepted()


async def test_an_unknown_field_within_a_list_is_named_by_its_place(
    client: httpx.AsyncClient,
) -> None:
    body = {"items": [{"instrument_id": 4}, {"instrument_id": 4, "wieght": 2}]}
    answer = await client.post("/v1/recommendations", json=body)
    assert refused_fields(answer) == ["items[1].wieght"]


@each("symbol", ["..", "GELA/bars", "GELA/Similar", "A//B", "A/"])
async def test_no_symbol_takes_the_path_of_another_resource(
    client: httpx.AsyncClient, symbol: str
) -> None:
    answer = await client.put("/v1/instruments/4", json={"symbol": symbol, "name": "Gela"})
    assert refused_fields(answer) == ["symbol"]
