"""A user's data rights: export and erasure."""

from urllib.parse import quote

import httpx
import msgspec
import pytest

from contracts.affinities import HistoryEntry
from contracts.generations import Canary, Current, Experiment, Served
from contracts.partitioning import user_partition
from contracts.topics import INTERACTIONS
from runtime.topology import Topology

from .asking import problem, refused_fields
from .conftest import TOPOLOGY, Filled
from .test_writing import read_back

LIST = [("8", 0.5, ["1"]), ("3", 0.25, ["1", "2"])]
SHOWN = [
    {"instrument_id": 8, "score": 0.5, "because": [1]},
    {"instrument_id": 3, "score": 0.25, "because": [1, 2]},
]


@pytest.fixture(autouse=True)
def model(filled: Filled) -> None:
    filled.generation("g1", similar={"1": [("2", 0.9, 5.0)]}, popular=[("2", 9.0)])


async def test_an_export_has_all_that_redis_has_of_a_user(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    partition = user_partition("Zoë/1", TOPOLOGY.interactions)
    filled.history("Zoë/1", {"1": (1, 5), "2": (0.5, 9)}, off=7)
    weighted = msgspec.json.encode(HistoryEntry(0.5, 9, 0.25, 20.5, 2, f=3))
    filled.store.hset(filled.keys.history(partition, "Zoë/1"), "2", weighted)
    filled.store.zadd(filled.keys.active(partition), {"Zoë/1": 9})
    filled.user_list("g1", "Zoë/1", off=7, items=LIST)
    answer = await client.get(f"/v1/users/{quote('Zoë/1', safe='')}/export")
    assert answer.headers["cache-control"] == "no-store"
    one = {"instrument_id": 1, "affinity": 1.0, "first_event_ts": 5, "last_event_ts": 5}
    two = {"instrument_id": 2, "affinity": 0.5, "first_event_ts": 3, "last_event_ts": 9}
    assert answer.json() == {
        "user_id": "Zoë/1",
        "last_event_ts": 9,
        "variant": "default",
        "generation": "g1",
        "history": [
            {**two, "user_scale": 0.25, "value": 20.5, "valued": 2},
            {**one, "user_scale": 1.0, "value": 0.0, "valued": 0},
        ],
        "lists": [
            {"generation": "g1", "model": "user-knn", "up_to_date": True, "items": SHOWN},
        ],
    }


async def test_an_export_has_the_lists_of_all_generations_that_are_kept_and_the_users_variant(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    served = {name: Served(name, "cosine", "user-knn") for name in ("g1", "g2", "g3", "g4")}
    current = Current(
        1,
        {"default": served["g1"], "steep": served["g2"]},
        Experiment("spring", {"steep": 1}),
        Canary(served["g3"], 0.5, 0, 1),
        [served["g4"]],
    )
    filled.serve(current)
    for offset, generation in enumerate(served):
        filled.user_list(generation, "ABC", off=offset, items=LIST)
    filled.history("ABC", {"1": (1, 5)}, off=2)
    export = (await client.get("/v1/users/ABC/export")).json()
    assert (export["variant"], export["generation"]) == ("steep", "g2")
    found = [(own["generation"], own["up_to_date"]) for own in export["lists"]]
    assert found == [("g1", False), ("g2", False), ("g3", True), ("g4", False)]


async def test_an_export_is_there_before_the_first_model(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.serve_nothing()
    filled.history("ABC", {"1": (1, 5)}, off=2)
    export = (await client.get("/v1/users/ABC/export")).json()
    assert (export["variant"], export["generation"], export["lists"]) == (None, None, [])


async def test_a_list_without_its_history_is_exported_and_not_served(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.user_list("g1", "ABC", off=7, items=LIST)
    (own,) = (await client.get("/v1/users/ABC/export")).json()["lists"]
    assert own["up_to_date"] is False
    recommended = (await client.get("/v1/users/ABC/recommendations")).json()
    assert recommended["source"] == "popular"


@pytest.mark.parametrize("user", ["ABC", "Zoë/1"])
async def test_an_erasure_stands_in_the_log_under_its_user_and_ends_the_lists(
    writing: httpx.AsyncClient, filled: Filled, broker: str, topology: Topology, user: str
) -> None:
    filled.user_list("g1", user, off=7, items=LIST)
    filled.user_list("g1", "other", off=7, items=LIST)
    keys = {name: filled.keys.model_user("g1", name) for name in (user, "other")}
    filled.store.sadd(filled.keys.model_keys("g1"), *keys.values())
    for _ in range(2):
        answer = await writing.delete(f"/v1/users/{quote(user, safe='')}")
        assert (answer.status_code, answer.json()) == (202, {"user_id": user})
    for record in read_back(broker, INTERACTIONS.name, topology.interactions, 2):
        assert (record.key, record.value) == (user.encode(), None)
        assert record.partition == user_partition(user, topology.interactions)
    assert filled.store.exists(*keys.values()) == 1
    assert filled.store.smembers(filled.keys.model_keys("g1")) == {keys["other"]}


async def test_without_kafka_nothing_is_erased_and_that_is_said(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.user_list("g1", "ABC", off=7, items=LIST)
    answer = await client.delete("/v1/users/ABC")
    assert problem(answer) == (503, "log-unavailable")
    assert filled.store.exists(filled.keys.model_user("g1", "ABC"))


async def test_a_path_below_a_user_erases_nobody(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/v1/users/ABC/history")
    assert refused_fields(answer) == ["user_id"]
