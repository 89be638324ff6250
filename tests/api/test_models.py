"""The served models, experiments and decisions over HTTP."""

import json

import httpx
import msgspec

from api.http.problems import NOT_YET
from contracts.generations import (
    Canary,
    Comparison,
    Current,
    Decision,
    Experiment,
    HeldOut,
    Lead,
    Outcome,
    Served,
    UnderWay,
)
from trainer.generations.decisions import note
from trainer.generations.report import Data, Found, Inputs, Lists, Report, Selection
from trainer.quality.checking import Checked

from .conftest import Filled

G1, G2, G3 = (Served(name, "cosine", "user-knn") for name in ("g1", "g2", "g3"))
ON_TRIAL = Current(5, {"default": G2}, None, Canary(G3, 0.25, 1629061628123, 1629065228123), [G1])
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
    selection=Selection(Found({"ITEM_MODEL": "cosine"}, "best"), "2021-08-15", 10, 100, 30),
)


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
    assert canary["trial"] == {"share": 0.25, "since_ms": 1629061628123, "until_ms": 1629065228123}
    assert (canary["serves"]["report"], body["previous"][0]["report"]) == (None, None)
    assert body["previous"][0]["generation"] == "g1"
    assert (body["experiment"], body["held"]) == (None, False)

    model = default["serves"]
    assert (model["generation"], model["model"], model["user_model"]) == (
        *("g2", "cosine", "user-knn"),
    )
    report = json.loads(msgspec.json.encode(REPORT))
    for name in ("started", "finished", "held_out", "selection"):
        assert model["report"][name] == report[name]
    assert model["report"]["data"].items() <= report["data"].items()
    assert model["report"]["quality"][0].items() <= report["quality"][0].items()


async def test_what_is_under_way_is_shown_and_why_there_are_no_lists(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    similar, models = "/v1/instruments/4/similar", "/v1/models"
    none, key = [similar, "/v1/users/ABC/recommendations", models], filled.keys.model_under_way()
    filled.store.delete(filled.keys.model_current())
    for path in none:
        assert (await client.get(path)).json()["detail"] == NOT_YET
    doing = UnderWay("lists", "2021-08-15T09:14:03+00:00", 1_000)
    filled.store.set(key, msgspec.json.encode(doing))
    since = "new lists are being made since 09:14:03 UTC"
    for path in none:
        assert (await client.get(path)).json()[
            "detail"
        ] == f"1,000 interactions are counted; {since}"
    filled.serve(ON_TRIAL)
    assert (await client.get(models)).json()["under_way"] == msgspec.to_builtins(doing)
    assert (await client.get(similar)).json()["detail"].endswith(f"lists were made; {since}")
    filled.store.delete(key)
    assert (await client.get(models)).json()["under_way"] is None
    assert (await client.get(similar)).json()["detail"].endswith("lists were made")


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


async def test_an_experiment_is_shown_with_variants_that_are_served_or_have_a_weight(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    weights = {"default": 3.0, "steep": 1.0, "later": 4.0}
    outcome = Outcome("steep", Comparison(40, 400, 0.3, 0.2, 0.05, 0.15))
    spring = Experiment("spring", weights, 1_000, 2_000, outcomes=[outcome])
    filled.serve(Current(5, {"default": G1, "steep": G2}, spring))
    assert (await client.get("/v1/experiments")).json() == {
        "name": "spring",
        "since_ms": 1_000,
        "until_ms": 2_000,
        "variants": [
            {
                "variant": "default",
                "weight": 3.0,
                "users": 0.75,
                "generation": "g1",
                "outcome": None,
            },
            {"variant": "later", "weight": 4.0, "users": 0.0, "generation": None, "outcome": None},
            {
                "variant": "steep",
                "weight": 1.0,
                "users": 0.25,
                "generation": "g2",
                "outcome": msgspec.to_builtins(outcome),
            },
        ],
    }
