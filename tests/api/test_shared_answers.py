"""Answers that are for no user have a request id, and any user's feedback on them counts."""

from typing import Any, Final

import httpx
import pytest

from contracts.feedback import parse_request_id
from runtime.topology import Topology
from tests.patience import until_true

from .conftest import THIS_HOUR, Filled
from .lists import BASKET, answered

LISTS: Final = {
    "/v1/instruments/4/similar": ("similar", "default"),
    "/v1/trending": ("trending", "none"),
    BASKET: ("items", "default"),
}
USERS: Final = ("ABC", "Zoë")


@pytest.fixture
async def client(
    writing: httpx.AsyncClient, filled: Filled, topology: Topology
) -> httpx.AsyncClient:
    filled.generation("g1", {"4": [("5", 0.9, 5.0), ("7", 0.8, 4.0)]}, popular=[("5", 9.0)])
    assert topology.quotes  # the topics are there
    filled.events({5: 9, 7: 3}, THIS_HOUR)
    return writing


@until_true
async def answer(client: httpx.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    found = await answered(client, path, **fields)
    assert found["items"]
    return found


def click(request_id: str, user_id: str, instrument_id: int) -> dict[str, Any]:
    return {
        "type": "click",
        "request_id": request_id,
        "user_id": user_id,
        "instrument_id": instrument_id,
        "position": 1,
    }


async def test_feedback_of_any_user_on_them_counts_by_source_and_variant(
    client: httpx.AsyncClient,
) -> None:
    for path, (source, variant) in LISTS.items():
        request_id = (await answer(client, path))["request_id"]
        clicks = [click(request_id, user, 5) for user in USERS]
        taken = await client.post("/v1/feedback", json=clicks)
        assert (taken.status_code, taken.text) == (202, '{"impressions":0,"clicks":2}'), path
        metrics = (await client.get("/metrics")).text
        labels = f'kind="click",source="{source}",variant="{variant}"'
        assert f"api_feedback_total{{{labels}}} 2.0" in metrics


async def test_what_was_not_in_them_or_was_made_up_is_refused(client: httpx.AsyncClient) -> None:
    for path, (source, _) in LISTS.items():
        request_id = (await answer(client, path, n=1))["request_id"]
        head, tail = request_id.rsplit(".", 1)
        of_a_user = request_id.replace(f".{source}.", ".history.")
        without_items = f"{head.rsplit('.', 1)[0]}.{tail}"
        for wrong in (
            click(request_id, "ABC", 7),
            click(of_a_user, "ABC", 5),
            click(without_items, "ABC", 5),
            click(f"{head}.{'A' * 44}", "ABC", 5),
        ):
            refused = await client.post("/v1/feedback", json=wrong)
            assert refused.status_code == 422, (path, wrong)
    users = (await client.get("/v1/users/ABC/recommendations")).json()
    as_shared = users["request_id"].replace(f".{users['source']}.", ".similar.")
    shown = users["items"][0]["instrument_id"]
    assert (await client.post("/v1/feedback", json=click(as_shared, "ABC", shown))).is_error


async def test_an_id_is_that_of_what_the_answer_has(client: httpx.AsyncClient) -> None:
    path = "/v1/instruments/4/similar"
    first, named, shorter = [
        (await answer(client, path, **asked))["request_id"]
        for asked in ({}, {"names": "true"}, {"n": 1})
    ]
    assert first == named != shorter
    assert parse_request_id(first).generation == "g1"
    baskets = {(await answer(client, BASKET))["request_id"] for _ in range(3)}
    assert len(baskets) == 3
