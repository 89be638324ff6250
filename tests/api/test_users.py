"""Recommendations and histories of users over HTTP, from a real store."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from contracts.partitioning import user_partition

from .conftest import TOPOLOGY, Filled, Serve
from .keys import entry, write_keys


@pytest.fixture(autouse=True)
def model(filled: Filled) -> None:
    filled.generation(
        "g1",
        similar={
            "1": [("2", 0.9, 5.0), ("3", 0.4, 2.0)],
            "2": [("1", 0.9, 5.0), ("3", 0.8, 4.0), ("4", 0.1, 1.0)],
        },
        popular=[("2", 9.0), ("1", 8.0), ("9", 7.0)],
    )


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
        ],
    }
    assert ids(await recommended(client, "ABC", "?n=1")) == [8]
    assert ids(await recommended(client, "ABC", "?exclude=8")) == [3]


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
    ]


async def test_an_own_list_that_is_used_up_gives_way_to_the_history(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"1": (1, 5)}, off=7)
    filled.user_list("g1", "ABC", off=7, items=[("8", 0.5, ["1"])])
    answer = await recommended(client, "ABC", "?exclude=8")
    assert (answer["source"], ids(answer)) == ("history", [2, 3])


async def test_what_the_user_has_is_recommended_only_if_wished_for(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"1": (1, 5), "2": (1, 6)}, off=8)
    assert ids(await recommended(client, "ABC")) == [3, 4]
    filled.user_list("g1", "ABC", off=8, items=[("8", 0.5, ["1"])])
    answer = await recommended(client, "ABC", "?include_seen=true")
    assert (answer["source"], ids(answer)) == ("history", [3, 1, 2, 4])


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


@pytest.mark.parametrize("user", ["Zoë Ω 株", "a/b", "100%", "17850", "x" * 128, "?#&"])
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


async def test_a_history_is_shown_latest_first(client: httpx.AsyncClient, filled: Filled) -> None:
    filled.history("ABC", {"1": (1, 5), "2": (0.5, 9)}, off=1)
    answer = await client.get("/v1/users/ABC/history")
    assert [item["instrument_id"] for item in answer.json()["items"]] == [2, 1]


async def test_the_history_of_an_unknown_user_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/users/nobody/history")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:tickrec:problem:unknown-user"


@pytest.mark.parametrize("user", ["", "x" * 129, quote("é" * 65)])
@pytest.mark.parametrize("what", ["history", "recommendations"])
async def test_a_user_of_more_than_128_bytes_or_none_is_refused(
    client: httpx.AsyncClient, user: str, what: str
) -> None:
    answer = await client.get(f"/v1/users/{user}/{what}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "user_id"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("n=0", "n"),
        ("n=101", "n"),
        ("exclude=99999999999999999999", "exclude"),
        ("include_seen=x", "include_seen"),
    ],
)
async def test_a_broken_rule_names_its_field(
    client: httpx.AsyncClient, query: str, field: str
) -> None:
    answer = await client.get(f"/v1/users/ABC/recommendations?{query}")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_sources_are_counted(client: httpx.AsyncClient) -> None:
    await recommended(client, "nobody")
    metrics = (await client.get("/metrics")).text
    counted = 'api_recommendations_total{model="popular",source="popular",variant="default"} 1.0'
    assert counted in metrics


async def test_users_who_have_a_history_are_drawn(
    client: httpx.AsyncClient, filled: Filled
) -> None:
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


async def test_nobody_is_drawn_where_nobody_has_a_history(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/users")).json() == {"user_ids": []}


@pytest.mark.parametrize("n", ["0", "101", "-1", "x", ""])
async def test_more_users_than_a_few_are_not_drawn(client: httpx.AsyncClient, n: str) -> None:
    answer = await client.get(f"/v1/users?n={n}")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["n"]


async def test_users_are_drawn_for_keys_that_read(
    serve: Serve, store_url: str, filled: Filled, tmp_path: Path
) -> None:
    file = write_keys(tmp_path / "keys.json", entry("reader"), entry("writer", scopes=["write"]))
    settings: dict[str, Any] = {"redis_url": store_url, "api_keys_file": file}
    async with serve(namespace=filled.keys.namespace, **settings) as client:
        statuses = {
            key: (await client.get("/v1/users", headers={"X-API-Key": key})).status_code
            for key in ("reader", "writer", "nobody")
        }
    assert statuses == {"reader": 200, "writer": 403, "nobody": 401}
