"""Recommendations and histories of users over HTTP, from a real store."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from contracts.partitioning import user_partition
from tests.cases import each

from .conftest import TOPOLOGY, Filled

pytestmark = pytest.mark.usefixtures("lists")


async def recommended(client: httpx.AsyncClient, user: str, query: str = "") -> dict[str, Any]:
    answer = await client.get(f"/v1/users/{quote(user, safe='')}/recommendations{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["instrument_id"] for item in answer["items"]]


async def test_an_own_list_of_the_live_history_is_served(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"1": (1, 5)}, off=7)
    filled.user_list("g1", "ABC", off=7, items=[("8", 0.5, ["1"]), ("3", 0.25, ["1"])])
    answer = await recommended(client, "ABC")
    assert answer.pop("request_id").startswith("default.g1.model.")
    assert answer == {
        "user_id": "ABC",
        "source": "model",
        "model": "user-knn",
        "variant": "default",
        "generation": "g1",
        "items": [
            {"instrument_id": 8, "score": 0.5, "because": [1]},
            {"instrument_id": 3, "score": 0.25, "because": [1]},
            {"instrument_id": 2, "score": 0.9, "because": [1], "source": "history"},
            {"instrument_id": 9, "score": 7.0, "because": [], "source": "popular"},
        ],
    }
    assert ids(await recommended(client, "ABC", "?n=1")) == [8]
    assert ids(await recommended(client, "ABC", "?exclude=8,XYZ")) == [3, 2, 9]


async def test_an_event_counts_at_once_the_own_list_being_out_of_date(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.user_list("g1", "ABC", off=7, items=[("8", 0.5, ["1"])])
    filled.history("ABC", {"1": (1, 5), "2": (3, 6)}, off=8)
    answer = await recommended(client, "ABC")
    assert (answer["source"], answer["model"]) == ("history", "cosine")
    assert answer["items"] == [
        {"instrument_id": 3, "score": pytest.approx((0.4 + 3 * 0.8) / 4), "because": [2, 1]},
        {"instrument_id": 4, "score": pytest.approx(3 * 0.1 / 4), "because": [2]},
        {"instrument_id": 9, "score": 7.0, "because": [], "source": "popular"},
    ]


async def test_what_the_user_has_is_recommended_only_if_wished_for(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"1": (1, 5), "2": (1, 6)}, off=8)
    assert ids(await recommended(client, "ABC")) == [3, 4, 9]
    filled.user_list("g1", "ABC", off=8, items=[("8", 0.5, ["1"])])
    answer = await recommended(client, "ABC", "?include_seen=true")
    assert (answer["source"], ids(answer)) == ("repeat", [2, 1, 3, 4, 9])
    sources = [item.get("source") for item in answer["items"]]
    assert sources == [None, None, "history", "history", "popular"]
    assert ids(await recommended(client, "ABC", "?include_seen=true&n=1")) == [2]


async def test_a_user_without_history_gets_the_popular_list_with_its_source(
    client: httpx.AsyncClient,
) -> None:
    answer = await recommended(client, "nobody", "?exclude=1&n=5")
    assert (answer["source"], answer["model"]) == ("popular", "popular")
    assert answer["items"] == [
        {"instrument_id": 2, "score": 9.0, "because": []},
        {"instrument_id": 9, "score": 7.0, "because": []},
    ]


async def test_a_user_whose_items_the_model_does_not_know_gets_what_else_is_popular(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"9": (1, 5), "77": (1, 5)}, off=1)
    answer = await recommended(client, "ABC")
    assert (answer["source"], ids(answer)) == ("popular", [2, 1])


@each("user", ["Zoë Ω 株", "a/b", "100%", "17850", "x" * 128, "?#&"])
async def test_any_user_of_the_contract_can_be_asked_for(
    client: httpx.AsyncClient, filled: Filled, user: str
) -> None:
    filled.history(user, {"1": (2, 1629061628123)}, off=1)
    assert (await recommended(client, user))["user_id"] == user
    answer = await client.get(f"/v1/users/{quote(user, safe='')}/history")
    assert answer.json() == {
        "user_id": user,
        "items": [{"instrument_id": 1, "affinity": 2.0, "last_event_ts": 1629061628123}],
    }


async def test_users_who_have_a_history_are_drawn(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    assert (await client.get("/v1/users")).json() == {"user_ids": []}
    users = {f"Zoë/{n}" for n in range(40)}
    for user_id in users:
        partition = user_partition(user_id, TOPOLOGY.interactions)
        filled.store.zadd(filled.keys.active(partition), {user_id: 5})
    answer = await client.get("/v1/users?n=100")
    assert answer.headers["cache-control"] == "no-store"
    assert sorted(answer.json()["user_ids"]) == sorted(users)
    draws = [(await client.get("/v1/users?n=5")).json()["user_ids"] for _ in range(20)]
    assert all(len(set(draw)) == 5 and users.issuperset(draw) for draw in draws)
    assert len(set(map(tuple, draws))) > 1
