"""Bodies of writes, baskets and batches: what is read from them, and rules that they may break."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.events.parsing import (
    MAX_REPORTED,
    InvalidEventsError,
    MalformedBodyError,
    parse_each,
    parse_events,
    parse_legacy,
)
from api.feedback.parsing import parse_feedback
from api.generations.request_ids import Signer
from api.http.bodies import MAX_EVENTS
from api.recommendations.bodies import MAX_ITEMS, MAX_USERS
from contracts.input_rules import InputRules
from contracts.messages import MAX_AHEAD_MS, Interaction, Quote
from tests.cases import each
from tests.contracts.test_messages import NOW_MS, interactions, quotes

from .asking import BASKET, BATCH, becomes, refused_fields
from .conftest import LEGACY, QUOTE, TRADE, Filled, Serve

# A few: tests/contracts/test_messages.py has all rules.
BROKEN: list[tuple[dict[str, Any], str | None]] = [
    ({**QUOTE, "instrument_id": 2**63}, "instrument_id"),
    ({**QUOTE, "instrument_id": "XYZ"}, "instrument_id"),
    ({**QUOTE, "price": 5e-324}, "price"),
    ({**QUOTE, "price": "1"}, "price"),
    ({**QUOTE, "ts": NOW_MS + MAX_AHEAD_MS + 1}, "ts"),
    ({**TRADE, "ts": NOW_MS + MAX_AHEAD_MS + 1}, "ts"),
    ({**TRADE, "user_id": "é" * 65}, "user_id"),
    ({**TRADE, "event": "buy"}, "event"),
    ({**TRADE, "type": "trade"}, "type"),
    *(({k: v for k, v in QUOTE.items() if k != name}, name) for name in QUOTE if name != "size"),
    ({k: v for k, v in TRADE.items() if k != "user_id"}, "user_id"),
]


@given(st.lists(quotes | interactions, min_size=1, max_size=5))
def test_what_keeps_the_rules_is_read_as_it_was_sent(messages: list[Quote | Interaction]) -> None:
    events = [
        {"type": "quote" if isinstance(m, Quote) else "interaction"}
        | {name: getattr(m, name) for name in m.__struct_fields__}
        for m in messages
    ]
    assert parse_events(json.dumps(events).encode(), NOW_MS) == messages
    assert parse_events(b" \n" + json.dumps(events[0]).encode(), NOW_MS) == messages[:1]


odd = st.sampled_from(
    [
        b'{"type":"quote","instrument_id":4,"price":1e0,"ts":5,"size":0.0}',
        b'{"ts":5,"price":2.5,"instrument_id":4,"type":"quote","price":3}',
        b'{"type":"quote","instrument_id":4,"price":1,"ts":5,"x":{"y":[1]}}',
        b'{"type":"quote","instrument_id":4,"price":1,"ts":5.0}',
        b'{"type":"quote","instrument_id":4,"price":1,"ts":9e99}',
        b'{"type":"interaction","user_id":"\\u0041","instrument_id":4,"ts":5,"price":null}',
        b'{"type":"interaction","user_id":"\\ud800","instrument_id":4,"ts":5}',
        b'{"type":"interaction","user_id":"\xff","instrument_id":4,"ts":5}',
        b'{"instrument_id":4,"price":1,"ts":5}',
        b"[]",
        b"null",
        b"{",
        b"",
    ]
) | st.sampled_from([QUOTE, TRADE, *(event for event, _ in BROKEN)]).map(
    lambda event: json.dumps(event).encode()
)


@given(
    st.lists(odd, max_size=4), st.sampled_from([b",", b" ,\n", b""]), st.sampled_from([b"]", b"] "])
)
def test_an_array_is_what_its_events_are_one_by_one(
    events: list[bytes], comma: bytes, end: bytes
) -> None:
    body = b" [" + comma.join(events) + end
    outcomes = []
    for parse in (
        lambda: parse_events(body, NOW_MS),
        lambda: parse_each(body, lambda event: parse_events(event, NOW_MS)[0]),
    ):
        try:
            outcomes.append(parse())
        except (InvalidEventsError, MalformedBodyError) as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(("event", "field"), BROKEN)
def test_each_broken_rule_names_index_field_and_reason(event: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidEventsError) as caught:
        parse_events(json.dumps([QUOTE, event, TRADE]).encode(), NOW_MS)
    (error,) = caught.value.errors
    assert (error.index, error.field) == (1, field)
    assert error.reason
    assert "1 of 3 events invalid, none accepted" in str(caught.value)


def test_an_event_time_in_seconds_is_refused() -> None:
    rules = InputRules(631_152_000_000)
    early = [{**QUOTE, "ts": NOW_MS // 1000}, {**TRADE, "ts": NOW_MS // 1000}]
    with pytest.raises(InvalidEventsError, match="epoch milliseconds") as caught:
        parse_events(json.dumps(early).encode(), NOW_MS, rules)
    assert [error.field for error in caught.value.errors] == ["ts", "ts"]
    legacy = {"userid": "ABC", "price": "1", "timestamp": "1700", "instrid": 4}
    with pytest.raises(InvalidEventsError, match="EARLIEST_EVENT_DATE"):
        parse_legacy(json.dumps(legacy).encode(), NOW_MS, rules)


@pytest.mark.parametrize("count", [0, MAX_EVENTS + 1])
def test_none_or_too_many_events_are_refused(count: int) -> None:
    with pytest.raises(InvalidEventsError, match=f"got {count}"):
        parse_events(json.dumps([QUOTE] * count).encode(), NOW_MS)
    assert len(parse_events(json.dumps([QUOTE] * MAX_EVENTS).encode(), NOW_MS)) == MAX_EVENTS


def test_not_more_than_some_errors_are_listed_but_all_are_counted() -> None:
    bad = {**QUOTE, "price": 0}
    with pytest.raises(InvalidEventsError, match="50 of 50") as caught:
        parse_events(json.dumps([bad] * 50).encode(), NOW_MS)
    assert len(caught.value.errors) == MAX_REPORTED


@given(st.binary())
def test_no_body_raises_anything_else(body: bytes) -> None:
    for parse in (parse_events, parse_legacy):
        with contextlib.suppress(MalformedBodyError, InvalidEventsError):
            parse(body, NOW_MS)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"price": "abc"}, "price"),
        ({"price": "nan"}, "price"),
        ({"price": "0"}, "price"),
        ({"price": "9" * 400}, "price"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": 1e300}, "timestamp"),
        ({"timestamp": str(NOW_MS)}, "timestamp"),
        ({"instrid": -1}, "instrid"),
        ({"instrid": "x"}, "instrid"),
        ({"userid": "é" * 65}, "userid"),
    ],
)
def test_a_rule_that_such_a_trade_breaks_goes_by_its_own_names(
    change: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidEventsError) as caught:
        parse_legacy(json.dumps(LEGACY | change).encode(), NOW_MS)
    assert [error.field for error in caught.value.errors] == [field]


IDS: Final = {"aapl": 4, "brk.b": 2**63 - 1}


def resolve(symbol: str) -> int | None:
    return IDS.get(symbol.casefold())


@pytest.mark.parametrize(("sent", "item"), [(4, 4), ("4", 4), ("AAPL", 4), ("brk.B", 2**63 - 1)])
def test_events_and_feedback_name_instruments_by_id_or_symbol(sent: int | str, item: int) -> None:
    body = json.dumps([QUOTE | {"instrument_id": sent}, TRADE | {"instrument_id": sent}]).encode()
    assert parse_events(body, NOW_MS, resolve=resolve) == [
        Quote(instrument_id=item, price=30.72, size=100, ts=QUOTE["ts"]),
        Interaction(user_id="ABC", instrument_id=item, ts=TRADE["ts"]),
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

    async def accepted() -> Any:
        return (await writing.post("/v1/events", json=events)).json()

    await becomes({"quotes": 1, "interactions": 1, "late": 0}, accepted)  # the catalog is read
