"""Unknown fields of a body are rejected and named: most are misspelt."""

import json

import httpx

EVENT = {"type": "interaction", "user_id": "ABC", "instrument_id": 4, "ts": 1629061628123}
QUOTE = {"type": "quote", "instrument_id": 4, "price": 30.72, "ts": 1629061628123}
REQUEST_ID = "default.20210815T211000Z-7.history.BAA.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA"
SEEN = {"type": "click", "request_id": REQUEST_ID, "user_id": "ABC", "instrument_id": 4}
SEEN |= {"position": 1}
APPLE = {"symbol": "AAPL", "name": "Apple Inc."}


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
