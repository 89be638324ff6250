"""Recommendations for users and for instruments, and histories, over HTTP from a real store."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from contracts.generations import Current, Served
from contracts.partitioning import user_partition
from tests.cases import each
from tests.patience import until_true

from .conftest import TOPOLOGY, Filled
from .lists import BASKET, answered, ids_of, of_user, source_and_ids, sources_of

pytestmark = pytest.mark.usefixtures("lists")
ABC = of_user("ABC")
OWN = [("8", 0.5, ["1"]), ("3", 0.25, ["1"])]


def basket(*weights: float) -> list[dict[str, float]]:
    """Return the first instruments with these weights."""
    return [{"instrument_id": item, "weight": of} for item, of in enumerate(weights, 1)]


async def test_an_own_list_of_the_live_history_is_served(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"1": (1, 5)}, off=7)
    filled.user_list("g1", "ABC", 7, OWN)
    answer = await answered(client, ABC)
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
    assert await ids_of(client, ABC, n=1) == [8]
    assert await ids_of(client, ABC, exclude="8,XYZ") == [3, 2, 9]


async def test_what_the_user_has_is_recommended_only_if_wished_for(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"1": (1, 5), "2": (1, 6)}, off=8)
    filled.user_list("g1", "ABC", 7, OWN)  # which the last event made out of date
    assert await source_and_ids(client, ABC) == ("history", [3, 4, 9])
    filled.user_list("g1", "ABC", 8, OWN[:1])
    assert await sources_of(client, ABC, repeats="first") == [
        *((2, None), (1, None)),
        *((8, "model"), (3, "history"), (4, "history"), (9, "popular")),
    ]
    assert await source_and_ids(client, ABC, repeats="first", n=1) == ("repeat", [2])
    assert await ids_of(client, ABC, repeats="none") == [8, 3, 4, 9]
    served = Served("g1", "cosine", "user-knn", repeats=1)  # what `auto` found out
    filled.serve(Current(2, {"default": served}))

    @until_true
    async def followed() -> None:
        assert await source_and_ids(client, ABC, n=1) == ("repeat", [2])

    await followed()
    assert await sources_of(client, ABC) == [
        (2, None),
        *((8, "model"), (3, "history"), (4, "history"), (9, "popular")),
    ]


async def test_a_user_without_history_or_of_items_that_the_model_does_not_know_gets_popular_ones(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    answer = await answered(client, of_user("nobody"), exclude=1, n=5)
    assert (answer["source"], answer["model"]) == ("popular", "popular")
    assert answer["items"] == [
        {"instrument_id": 2, "score": 9.0, "because": []},
        {"instrument_id": 9, "score": 7.0, "because": []},
    ]
    filled.history("ABC", {"9": (1, 5), "77": (1, 5)}, off=1)
    assert await source_and_ids(client, ABC) == ("popular", [2, 1])


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


async def test_a_basket_is_folded_in_as_the_same_history_is(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"1": (1, 5), "2": (3, 5)}, off=8)
    # The second time, its lists are in memory.
    found = [await answered(client, BASKET, items=basket(1, 3)) for _ in range(2)]
    request_ids = {one.pop("request_id") for one in found}
    assert len(request_ids) == 2
    assert all(one.startswith("default.g1.items.") for one in request_ids)
    assert found[1] == found[0]
    assert found[0] == {
        "source": "items",
        "model": "cosine",
        "variant": "default",
        "generation": "g1",
        "items": (await answered(client, ABC))["items"],
    }
    counted = 'api_recommendations_total{model="cosine",source="items",variant="default"} 2.0'
    assert counted in (await client.get("/metrics")).text


@each(
    ("wishes", "expected"),
    [
        ({}, [3, 4, 9]),
        ({"n": 1}, [3]),
        ({"exclude": [3]}, [4, 9]),
        ({"repeats": "first"}, [3, 1, 2, 4, 9]),
    ],
)
async def test_a_basket_s_wishes_are_kept_to_and_a_weight_is_1_if_none_is_said(
    client: httpx.AsyncClient, wishes: dict[str, Any], expected: list[int]
) -> None:
    items = await answered(client, BASKET, items=basket(7, 7), **wishes)
    assert [item["instrument_id"] for item in items["items"]] == expected
    without = [{"instrument_id": 1}, {"instrument_id": 2}]
    assert (await answered(client, BASKET, items=without, **wishes))["items"] == items["items"]


async def test_a_batch_has_the_answer_of_each_user_in_order(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("ABC", {"1": (1, 5), "2": (3, 6)}, off=8)
    filled.history("own", {"1": (1, 5)}, off=7)
    filled.user_list("g1", "own", 7, OWN)
    users = [*(f"u{number}" for number in range(9)), "own", "ABC", "Zoë/1", "own"]
    answer = await client.post("/v1/recommendations/batch", json={"user_ids": users, "n": 2})
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()["recommendations"]
    assert [one["user_id"] for one in found] == users
    assert len({one.pop("request_id") for one in found}) == len(users)
    for user, one in zip(users, found, strict=True):
        alone = await answered(client, of_user(quote(user, safe="")), n=2)
        del alone["request_id"]
        assert one == alone
