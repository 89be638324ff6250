"""Recommendations for instruments and for several users, over HTTP from a real store."""

from typing import Any

import httpx
import pytest

from .conftest import Filled

pytestmark = pytest.mark.usefixtures("lists")


async def for_items(client: httpx.AsyncClient, *items: tuple[int, float], **more: Any) -> Any:
    body = {"items": [{"instrument_id": item, "weight": weight} for item, weight in items]}
    answer = await client.post("/v1/recommendations", json=body | more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def ids(answer: Any) -> list[int]:
    return [item["instrument_id"] for item in answer["items"]]


async def test_a_basket_is_folded_in_as_the_same_history_is(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"1": (1, 5), "2": (3, 5)}, off=8)
    of_user = (await client.get("/v1/users/ABC/recommendations")).json()
    of_items = await for_items(client, (1, 1.0), (2, 3.0))
    request_id = of_items.pop("request_id")
    assert request_id.startswith("default.g1.items.")
    assert of_items == {
        "source": "items",
        "model": "cosine",
        "variant": "default",
        "generation": "g1",
        "items": of_user["items"],
    }
    assert ids(of_items) == [3, 4, 9]
    again = await for_items(client, (1, 1.0), (2, 3.0))  # its lists are in memory
    assert again.pop("request_id") != request_id
    assert again == of_items


async def test_a_weight_is_1_if_none_is_said(client: httpx.AsyncClient) -> None:
    body = {"items": [{"instrument_id": 1}, {"instrument_id": 2}]}
    answer = await client.post("/v1/recommendations", json=body)
    assert answer.json()["items"] == (await for_items(client, (1, 7.0), (2, 7.0)))["items"]


async def test_a_basket_s_wishes_are_kept_to(client: httpx.AsyncClient) -> None:
    both = ((1, 1.0), (2, 1.0))
    assert ids(await for_items(client, *both, n=1)) == [3]
    assert ids(await for_items(client, *both, exclude=[3])) == [4, 9]
    assert ids(await for_items(client, *both, include_seen=True)) == [3, 1, 2, 4, 9]


async def test_a_batch_has_the_answer_of_each_user_in_order(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"1": (1, 5), "2": (3, 6)}, off=8)
    filled.history("own", {"1": (1, 5)}, off=7)
    filled.user_list("g1", "own", off=7, items=[("8", 0.5, ["1"]), ("3", 0.25, ["1"])])
    users = [*(f"u{number}" for number in range(9)), "own", "ABC", "Zo\u00eb/1", "own"]
    answer = await client.post("/v1/recommendations/batch", json={"user_ids": users, "n": 2})
    assert answer.status_code == 200, answer.text
    found = answer.json()["recommendations"]
    assert [one["user_id"] for one in found] == users
    request_ids = {one.pop("request_id") for one in found}
    assert len(request_ids) == len(users)
    for user, one in zip(users, found, strict=True):
        alone = await client.get(f"/v1/users/{user.replace('/', '%2F')}/recommendations?n=2")
        expected = alone.json()
        del expected["request_id"]
        assert one == expected


async def test_answers_are_counted_by_their_source(client: httpx.AsyncClient) -> None:
    await for_items(client, (1, 1.0))
    metrics = (await client.get("/metrics")).text
    counted = 'api_recommendations_total{model="cosine",source="items",variant="default"} 1.0'
    assert counted in metrics
