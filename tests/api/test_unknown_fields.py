"""Unknown fields of a body are rejected and named: most are misspelt."""

import json
from typing import Any

import httpx

from tests.cases import each

EVENT = {"type": "interaction", "user_id": "ABC", "instrument_id": 4, "ts": 1629061628123}
QUOTE = {"type": "quote", "instrument_id": 4, "price": 30.72, "ts": 1629061628123}
REQUEST_ID = "default.20210815T211000Z-7.history.BAA.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA"
SEEN = {"type": "click", "request_id": REQUEST_ID, "user_id": "ABC", "instrument_id": 4}
SEEN |= {"position": 1}
APPLE = {"symbol": "AAPL", "name": "Apple Inc."}


@each(
    ("method", "path", "body", "wrong", "meant"),
    [
        ("POST", "/v1/events", EVENT, "evnet", "event"),
        ("POST", "/v1/events", EVENT, "qty", "quantity"),
        ("POST", "/v1/events", QUOTE, "sise", "size"),
        ("POST", "/v1/feedback", SEEN, "time", "ts"),
        ("PUT", "/v1/instruments/4", APPLE, "categorys", "categories"),
        ("POST", "/v1/recommendations", {"items": [{"instrument_id": 4}]}, "exclud", "exclude"),
        ("POST", "/v1/recommendations/batch", {"user_ids": ["ABC"]}, "exclud", "exclude"),
    ],
)
async def test_an_unknown_field_is_named_with_those_that_there_are(
    client: httpx.AsyncClient, method: str, path: str, body: dict[str, Any], wrong: str, meant: str
) -> None:
    answer = await client.request(method, path, json=body | {wrong: "view"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == wrong
    assert f"unknown field `{wrong}`" in error["reason"]
    assert f"{meant}" in error["reason"].partition("known:")[2]


async def test_an_unknown_field_within_a_list_is_named_by_its_place(
    client: httpx.AsyncClient,
) -> None:
    body = {"items": [{"instrument_id": 4}, {"instrument_id": 4, "wieght": 2}]}
    answer = await client.post("/v1/recommendations", json=body)
    (error,) = answer.json()["errors"]
    assert error["field"] == "items[1].wieght"


async def test_of_several_events_only_those_with_unknown_fields_are_named(
    client: httpx.AsyncClient,
) -> None:
    events = [EVENT, EVENT | {"evnet": "view"}, QUOTE, QUOTE | {"prize": 1}]
    answer = await client.post("/v1/events", content=json.dumps(events))
    found = [(error["index"], error["field"]) for error in answer.json()["errors"]]
    assert found == [(1, "evnet"), (3, "prize")]


async def test_a_body_of_the_first_version_may_have_others(client: httpx.AsyncClient) -> None:
    """All of its fields are needed, so a misspelt one is missed."""
    body = {"userid": "ABC", "price": "1", "timestamp": "1629061628", "instrid": 4, "note": "x"}
    assert (await client.post("/add/request", json=body)).status_code == 503, "no Kafka there"
