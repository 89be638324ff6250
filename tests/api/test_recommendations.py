"""Recommendations for users and for instruments, and histories, over HTTP from a real store."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from contracts.generations import Current, Popular, PopularList, Served
from contracts.partitioning import user_partition
from tests.cases import each

from .asking import (
    BASKET,
    answered,
    answers,
    becomes,
    ids_of,
    items_of,
    of_user,
    source_and_ids,
    sources_of,
)
from .conftest import TOPOLOGY, Filled, Serve

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
    await becomes(("repeat", [2]), source_and_ids, client, ABC, n=1)
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
    answer = await answered(client, ABC, repeats="first", n=1)
    assert (answer["source"], answer["model"]) == ("repeat", "cosine")


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


HIDDEN, DISLIKED, TAKEN = 2, 3, 4
OTHERS = [5, 6, 7]
EVERYTHING = [HIDDEN, DISLIKED, TAKEN, *OTHERS]
BEHIND_POPULAR = 8
"""In the catalog alone."""


@pytest.fixture
async def rejecting_client(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    neighbors = [(str(item), 1 / item, 1.0) for item in EVERYTHING]
    filled.generation(
        "g1", {str(TAKEN): neighbors}, popular=[(str(item), 9 - item) for item in EVERYTHING]
    )
    for item in (*EVERYTHING, BEHIND_POPULAR):
        filled.instrument(item, f"S{item}", categories=("all",))
    for user in ("folded", "listed"):
        history = {str(HIDDEN): (0, 5), str(DISLIKED): (-1, 5), str(TAKEN): (1, 5)}
        filled.history(user, history, off=7)
    filled.history("rejecting", {str(HIDDEN): (0, 5), str(DISLIKED): (-1, 5)}, off=7)
    filled.user_list("g1", "listed", 7, [(str(item), 1 / item, []) for item in EVERYTHING])
    async with serve() as rejecting_client:
        yield rejecting_client


@each("seen", [{}, {"repeats": "first"}])
@each("category", [{}, {"category": "all"}])
@each(("user", "source"), [("folded", "history"), ("listed", "model"), ("rejecting", "popular")])
async def test_rejected_items_are_recommended_from_no_source(
    rejecting_client: httpx.AsyncClient, user: str, source: str, seen: Any, category: Any
) -> None:
    of, items = await source_and_ids(rejecting_client, of_user(user), n=20, **seen, **category)
    assert not {HIDDEN, DISLIKED} & {*items}
    assert {*OTHERS} <= {*items}
    assert (BEHIND_POPULAR in items) == bool(category)
    assert seen or of == source


TECH, ENERGY, ALL = ("tech", "all"), ("energy", "all"), ("all",)
TECHIE = of_user("techie")
OLD = range(1, 41)
"""Even ones are of tech."""
NEW_TECH, NEWER_TECH, NEW_ENERGY, NEW = 90, 91, 92, 93


def popular(
    filled: Filled, items: list[int], generation: str = "g1", *, is_whole: bool = True
) -> None:
    """Have some items be the only ones with counts."""
    found = PopularList("popular", [Popular(str(item), 10, 10) for item in items], is_whole)
    filled.store.set(filled.keys.model_popular(generation), msgspec.json.encode(found))


@pytest.fixture
async def listing(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    filled.generation("g1", {"2": [(str(item), 1 / item, 1.0) for item in range(3, 41)]})
    popular(filled, [*OLD])
    filled.history("techie", {"2": (2, 5), "4": (3, 6)}, off=7)
    filled.history("anybody", {"2": (1, 5), "1": (1, 6)}, off=7)
    for item in OLD:
        filled.instrument(item, f"S{item}", categories=ENERGY if item % 2 else TECH)
    async with serve() as listing:
        yield listing


async def new_of(listing: httpx.AsyncClient, path: str = TECHIE, **query: Any) -> list[int]:
    return [item for item, source in await sources_of(listing, path, **query) if source == "new"]


def list_some(filled: Filled) -> None:
    filled.instrument(NEW_TECH, "N", categories=TECH)
    filled.instrument(NEWER_TECH, "NN", categories=TECH)
    filled.instrument(NEW_ENERGY, "NE", categories=ENERGY)
    filled.instrument(NEW, "NA", categories=ALL)


async def test_a_new_listing_takes_one_place_of_ten_of_users_whose_history_is_of_its_category(
    listing: httpx.AsyncClient, filled: Filled
) -> None:
    before = await sources_of(listing, TECHIE)
    assert len(before) == 10
    assert {source for _, source in before} == {None}
    list_some(filled)
    await becomes([*before[:9], (NEWER_TECH, "new")], sources_of, listing, TECHIE)
    assert (await items_of(listing, TECHIE))[-1] == {
        "instrument_id": NEWER_TECH,
        "score": 0.5,  # all of the history, and half of the counts
        "because": [4, 2],
        "source": "new",
        "symbol": "NN",
    }
    assert await new_of(listing, n=20) == [NEWER_TECH, NEW_TECH]
    assert await new_of(listing, n=9) == []
    assert await new_of(listing, exclude=NEWER_TECH) == [NEW_TECH]
    # Half of the counts, and half of the history: all have as much to do with it.
    assert await new_of(listing, of_user("anybody")) == []
    assert await new_of(listing, of_user("stranger")) == []
    filled.history("techie", {"2": (2, 5), "4": (3, 6), str(NEWER_TECH): (9, 7)}, off=8)
    own = {item for item, source in await sources_of(listing, TECHIE, repeats="first", n=3)}
    assert own == {2, 4, NEWER_TECH}
    assert await new_of(listing, repeats="first") == [NEW_TECH]


async def test_with_counts_or_unlisted_it_is_no_new_listing(
    listing: httpx.AsyncClient, filled: Filled
) -> None:
    list_some(filled)
    filled.instrument(NEWER_TECH, "NN", categories=TECH, listed=False)
    await becomes([NEW_TECH], new_of, listing)
    filled.generation("g2", {"2": [("3", 0.5, 1.0)]})
    popular(filled, [*OLD, NEW_TECH], "g2")
    await becomes([], new_of, listing)
    filled.instrument(NEW + 1, "NNN", categories=TECH)
    await becomes([NEW + 1], new_of, listing)


async def test_where_not_all_items_with_counts_are_known_none_is_new(
    listing: httpx.AsyncClient, filled: Filled
) -> None:
    popular(filled, [*OLD], is_whole=False)
    list_some(filled)
    await answers(listing, f"/v1/instruments/{NEW}")
    assert await new_of(listing) == []
