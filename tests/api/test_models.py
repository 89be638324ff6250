"""The served models over HTTP, and decisions on them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api.models import deciding
from api.redis.connection import Connection, NotConnectedError
from api.redis.reading import Read, Reading
from contracts.decisions import Decision, Standing
from contracts.figures import Exploration, Happened, HeldOut, Lead, Mean, Rate
from contracts.generations import Canary, Current, Experiment, Served
from contracts.keyspace import Keyspace
from contracts.pointer import REPLACE_SCRIPT, promoted
from runtime.redis.stores import connect
from tests.cases import each
from trainer.generations.decisions import note, read_decisions, read_report
from trainer.generations.report import Data, Inputs, Lists, Report, Selection
from trainer.judging.found import Found
from trainer.quality.checking import Checked

from .conftest import Filled, Serve
from .keys import entry, write_keys
from .problems import problem

G1, G2, G3 = (Served(name, "cosine", "user-knn") for name in ("g1", "g2", "g3"))
ON_TRIAL = Current(5, {"default": G2}, None, Canary(G3, 0.25, 1629061628123), [G1])
REPORT = Report(
    generation="g2",
    fence=5,
    started="2021-08-15T21:10:00+00:00",
    finished="2021-08-15T21:10:04+00:00",
    inputs=Inputs({}, {}),
    data=Data(10, 40, 1, 2, 30, 90),
    lists=Lists(10, 80, 30, 300, 10),
    seconds={"read": 1.5},
    quality=[Checked("users", "hard", holds=True, value=30, limit=1, meaning="how many")],
    held_out=HeldOut(20, 0.3, 0.2, 0.4, 0.8, 0.9, Lead(0.28, 0.02, 0.01)),
    happened=Happened(250, Mean(0.29, 0.02), Mean(0.1, 0.01), Mean(0.19, 0.02), 0.28),
    exploration=Exploration(
        "2021-08-16T00:00:00+00:00",
        300,
        served=Rate(0.05, 0.04, 0.07, 900.0),
        ranked=Rate(0.06, 0.05, 0.08, 800.5),
        explored=Rate(0.02, 0.01, 0.04, 99.5),
        lead=Mean(0.04, 0.01),
    ),
    selection=Selection(Found({"ITEM_MODEL": "cosine"}, "best"), "2021-08-15", 10, 100, 30),
)
SO_FAR = Standing(
    generation="g3",
    at="2021-08-15T22:10:04+00:00",
    due_ms=1629065228123,
    until_ms=1629148028123,
    enough=False,
    why="too little was seen to say",
    figures={"users_canary": 18, "users_served": 171},
)


def current_of(filled: Filled) -> Current:
    stored: Any = filled.store.get(filled.keys.model_current())
    return msgspec.json.decode(stored, type=Current)


def noted(filled: Filled) -> list[Decision]:
    return read_decisions(filled.store, filled.keys)


async def test_models_are_shown_with_shares_and_the_figures_of_their_reports(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.serve(ON_TRIAL)
    filled.store.set(filled.keys.model_report("g2"), msgspec.json.encode(REPORT))
    filled.store.set(filled.keys.model_report("g1"), "{")
    body = (await client.get("/v1/models")).json()
    default, canary = body["variants"]
    assert (default["variant"], default["users"], default["trial"]) == ("default", 0.75, None)
    assert canary["variant"] == "canary"
    assert (canary["users"], canary["serves"]["generation"]) == (0.25, "g3")
    assert canary["trial"] == {"share": 0.25, "since_ms": 1629061628123, "so_far": None}
    assert (canary["serves"]["report"], body["previous"][0]["report"]) == (None, None)
    assert body["previous"][0]["generation"] == "g1"
    assert (body["experiment"], body["held"]) == (None, False)

    model = default["serves"]
    assert (model["generation"], model["model"], model["user_model"]) == (
        *("g2", "cosine", "user-knn"),
    )
    report = json.loads(msgspec.json.encode(REPORT))
    for name in ("started", "finished", "held_out", "happened", "exploration", "selection"):
        assert model["report"][name] == report[name]
    assert model["report"]["data"].items() <= report["data"].items()
    assert model["report"]["quality"][0].items() <= report["quality"][0].items()


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (msgspec.json.encode(SO_FAR), msgspec.to_builtins(SO_FAR)),
        (msgspec.json.encode(msgspec.structs.replace(SO_FAR, generation="g2")), None),
        (b"{", None),
        (b"{}", None),
    ],
    ids=["its own", "of another canary", "damaged", "of another release"],
)
async def test_the_standing_of_a_canary_is_shown(
    client: httpx.AsyncClient, filled: Filled, stored: bytes, shown: dict[str, Any] | None
) -> None:
    filled.serve(ON_TRIAL)
    filled.store.set(filled.keys.model_trial(), stored)
    (_, canary) = (await client.get("/v1/models")).json()["variants"]
    assert canary["trial"]["so_far"] == shown


async def test_decisions_are_listed_newest_first(client: httpx.AsyncClient, filled: Filled) -> None:
    assert (await client.get("/v1/models/decisions")).json() == {"decisions": []}
    made = [
        Decision("2021-08-15", f"g{n}", "default", "published", "because", "rules", {"ndcg": 0.5})
        for n in range(3)
    ]
    for decision in made:
        note(filled.store, filled.keys, decision)
    listed = (await client.get("/v1/models/decisions?n=2")).json()["decisions"]
    assert listed == [msgspec.to_builtins(decision) for decision in (made[2], made[1])]


async def test_a_promotion_holds_at_once_and_stands_among_the_decisions_and_in_the_report(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.serve(ON_TRIAL)
    report = msgspec.structs.replace(REPORT, generation="g3")
    filled.store.set(filled.keys.model_report("g3"), msgspec.json.encode(report), ex=1000)
    answer = await client.post("/v1/models/promote", json={"why": "nDCG held"})
    assert answer.json() == {"what": "promoted", "generation": "g3", "serves": "g3"}
    assert current_of(filled) == Current(5, {"default": G3}, previous=[G2])
    (decision,) = noted(filled)
    assert (decision.generation, decision.variant, decision.what, decision.why) == (
        *("g3", "canary", "promoted", "nDCG held"),
    )
    assert decision.by == "api"
    found = read_report(filled.store, filled.keys, "g3")
    assert found == msgspec.structs.replace(report, decisions=[decision])
    assert filled.store.ttl(filled.keys.model_report("g3")) > 0


async def test_a_rollback_takes_the_canary_first_then_goes_back_then_cannot(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.serve(ON_TRIAL)
    answers = [await client.post("/v1/models/rollback", json={}) for _ in range(3)]
    assert [answer.json() for answer in answers[:2]] == [
        {"what": "rolled back", "generation": "g3", "serves": "g2"},
        {"what": "rolled back", "generation": "g2", "serves": "g1"},
    ]
    assert problem(answers[2]) == (409, "conflict")
    assert "KEEP_GENERATIONS" in answers[2].json()["detail"]
    assert current_of(filled) == Current(5, {"default": G1}, held=True)
    assert [(d.generation, d.variant) for d in noted(filled)] == [
        *(("g2", "default"), ("g3", "canary")),
    ]


@pytest.mark.parametrize("decision", ["promote", "rollback"])
async def test_of_two_people_who_decide_on_the_same_generation_one_does(
    client: httpx.AsyncClient, filled: Filled, decision: str
) -> None:
    filled.serve(ON_TRIAL)
    path = f"/v1/models/{decision}"
    other = await client.post(path, json={"expected": "g1"})
    assert problem(other) == (409, "conflict")
    assert "g1 is expected, but g3 is on trial" in other.json()["detail"]
    assert current_of(filled) == ON_TRIAL
    answers = await asyncio.gather(*[client.post(path, json={"expected": "g3"}) for _ in range(2)])
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert [decision.generation for decision in noted(filled)] == ["g3"]


async def test_what_is_served_is_not_overwritten_if_it_changed_in_between(
    client: httpx.AsyncClient, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.serve(ON_TRIAL)
    claimed = msgspec.structs.replace(ON_TRIAL, fence=6)

    def changed_by_another(current: Current, keep: int) -> Current:
        filled.serve(claimed)
        return promoted(current, keep)

    monkeypatch.setattr(deciding, "promoted", changed_by_another)
    answer = await client.post("/v1/models/promote", json={})
    assert answer.status_code == 409
    assert answer.json()["detail"] == deciding.CHANGED_MEANWHILE
    assert current_of(filled) == claimed
    assert noted(filled) == []


async def test_weights_hold_at_once_and_end_with_the_experiment(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.serve(Current(5, {"default": G1, "steep": G2}))
    wanted = {"name": "spring", "weights": {"default": 3, "steep": 1, "later": 4}}
    answer = await client.put("/v1/experiments", json=wanted)
    expected = {
        "name": "spring",
        "variants": [
            {"variant": "default", "weight": 3.0, "users": 0.75, "generation": "g1"},
            {"variant": "later", "weight": 4.0, "users": 0.0, "generation": None},
            {"variant": "steep", "weight": 1.0, "users": 0.25, "generation": "g2"},
        ],
    }
    assert answer.json() == expected
    assert (await client.get("/v1/experiments")).json() == expected
    assert current_of(filled).experiment == Experiment("spring", wanted["weights"])  # type: ignore[arg-type]
    ended = (await client.delete("/v1/experiments")).json()
    assert (ended["name"], ended["variants"][0]["users"]) == (None, 1.0)
    assert current_of(filled) == Current(5, {"default": G1, "steep": G2})


@each(
    ("body", "field", "reason"),
    [
        ({"weights": {"default": 1}}, "body", "missing required field `name`"),
        ({"name": "s", "weights": {}}, "weights", "length"),
        ({"name": "s", "weights": {"default": 0}}, "weights", "nobody would get anything"),
        ({"name": "s", "weights": {"default": -1}}, "weights", "must be 0 or more"),
        ({"name": "a b", "weights": {"default": 1}}, "weights", "not a valid name"),
        ({"name": "s", "weights": {"a/b": 1}}, "weights", "not a valid name"),
        ({"name": "s", "weights": {"default": 1}, "x": 1}, "x", "unknown field"),
        ({"name": "s", "weights": {"default": "1"}}, "weights", "Expected `float`"),
    ],
)
async def test_weights_that_break_a_rule_change_nothing(
    client: httpx.AsyncClient, filled: Filled, body: dict[str, Any], field: str, reason: str
) -> None:
    filled.serve(ON_TRIAL)
    answer = await client.put("/v1/experiments", json=body)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"].startswith(field)
    assert reason in error["reason"]
    assert current_of(filled) == ON_TRIAL


@each(("content", "status"), [(b"{", 400), (b'{"why": 1}', 422), (b'{"why": "\xff"}', 400)])
async def test_a_reason_that_is_none_promotes_nothing(
    client: httpx.AsyncClient, filled: Filled, content: bytes, status: int
) -> None:
    filled.serve(ON_TRIAL)
    json_type = {"Content-Type": "application/json"}
    answer = await client.post("/v1/models/promote", content=content, headers=json_type)
    assert answer.status_code == status, answer.text
    assert current_of(filled) == ON_TRIAL


async def test_a_decision_holds_on_a_cluster(
    serve: Serve, cluster_url: str, namespace: str
) -> None:
    with connect(cluster_url, "tests") as store:
        in_cluster = Filled(store, Keyspace(namespace))
        in_cluster.topology()
        in_cluster.serve(ON_TRIAL)
        async with serve(redis_url=cluster_url, namespace=namespace) as client:
            answer = await client.post("/v1/models/promote", json={})
            assert answer.status_code == 200, answer.text
        assert current_of(in_cluster).variants == {"default": G3}


async def test_a_decision_is_noted_under_the_name_of_the_key(
    serve: Serve, filled: Filled, tmp_path: Path
) -> None:
    filled.serve(ON_TRIAL)
    path = write_keys(tmp_path / "keys.json", entry("ops", scopes=["admin"]))
    async with serve(api_keys_file=path) as client:
        client.headers["X-API-Key"] = "ops"
        assert (await client.post("/v1/models/promote", json={})).status_code == 200
        assert (await client.delete("/v1/experiments")).status_code == 200
    assert [decision.by for decision in noted(filled)] == ["ops"]


def test_a_script_is_sent_to_the_node_that_has_its_key() -> None:
    asked: list[str] = []

    class Nowhere:
        def connection_of(self, key: str) -> Connection:
            asked.append(key)
            raise NotConnectedError(key)

    def read() -> Read[None]:
        yield [("EVAL", REPLACE_SCRIPT, 1, "live:model:current", b"", b"{}")]

    reading = Reading(read(), Nowhere(), lambda *_: None, lambda error: error, 0.0)  # type: ignore[arg-type]
    reading.start()
    assert asked == ["live:model:current"]
