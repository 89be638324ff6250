"""A new generation from its first users to all, or back, through all programs."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from contracts.generations import Current, Decision
from contracts.messages import Interaction
from infra.local.process import start, stop
from tests.integration.conftest import Pipeline
from tests.patience import eventually
from trainer.generations.decisions import read_decisions, read_report
from trainer.generations.publication import change_current, read_current

pytestmark = pytest.mark.slow

BASE_MS = 1_700_000_040_000
USERS = [f"u{n}" for n in range(60)]
KNOWN = (1, 2)
NEW = 3
POPULAR = range(4, 14)
"""more popular than `NEW`, and as many as are judged: lists without it continue with these"""
"""The settings of all programs while a canary is on trial."""

RULES = """
share = 0.5
minutes = 60
rest_minutes = {rest}
users_least = {least}
[clicks]
users_least = 10
"""


def taken(user: str, item: int, ts_ms: int) -> Interaction:
    return Interaction(user_id=user, instrument_id=item, ts=ts_ms)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Rules that judge no canary before the test ends its period."""
    path = tmp_path / "canary.toml"
    path.write_text(RULES.format(rest=60, least=10))
    return path


@pytest.fixture
def client(pipeline: Pipeline) -> Iterator[httpx.Client]:
    """The API, over lists that recommend 3 to users who have 1 and 2; a worker keeps running."""
    with pipeline.worker():
        pipeline.publish(taken(user, item, BASE_MS) for user in USERS for item in KNOWN)
        pipeline.publish(taken(f"other {n}", i, BASE_MS) for n in range(5) for i in (*KNOWN, NEW))
        pipeline.publish(taken(f"reader {n}", i, BASE_MS) for n in range(9) for i in POPULAR)
        pipeline.wait_until_folded()
        pipeline.run("trainer", "once", active_users=0)
        with pipeline.api() as address, httpx.Client(base_url=address) as client:
            yield client


@contextlib.contextmanager
def trainer(pipeline: Pipeline, rules: Path, **settings: str | int) -> Iterator[None]:
    """The trainer in continuous mode, without user lists: they are not judged."""
    own: dict[str, str | int] = {
        "canary_rules": str(rules),
        "keep_generations": 1,
        "active_users": 0,
        "metrics_port": 0,
        "train_every_seconds": "0.1",
    }
    command = pipeline.command("running", "trainer", "run", **(own | settings))
    process = start(command)
    try:
        yield
    finally:
        stop((process, command))


def current(pipeline: Pipeline) -> Current:
    found = read_current(pipeline.store, pipeline.keyspace)
    assert found is not None
    return found


def decisions(pipeline: Pipeline) -> list[Decision]:
    return read_decisions(pipeline.store, pipeline.keyspace)


def await_canary(pipeline: Pipeline) -> str:
    eventually(lambda: current(pipeline).canary is not None, f"a canary, see {pipeline.folder}")
    canary = current(pipeline).canary
    assert canary is not None
    return canary.served.generation


def await_decision(pipeline: Pipeline, what: str) -> Decision:
    eventually(
        lambda: what in {decision.what for decision in decisions(pipeline)},
        f"{what}, see {pipeline.folder}",
    )
    return next(decision for decision in decisions(pipeline) if decision.what == what)


def end_period(pipeline: Pipeline) -> None:
    """Have the canary's period be over."""

    def over(current: Current) -> Current:
        assert current.canary is not None
        return replace(current, canary=replace(current.canary, until_ms=0))

    change_current(pipeline.store, pipeline.keyspace, over)


def recommended(client: httpx.Client, user: str) -> dict[str, Any]:
    answer = client.get(f"/v1/users/{user}/recommendations").raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def show_and_click(client: httpx.Client, clicked: set[str]) -> None:
    """Report that each user saw one item, and that the users of some variants clicked it."""
    sent = []
    for user in USERS:
        answer = recommended(client, user)
        seen = {
            "type": "impression",
            "request_id": answer["request_id"],
            "user_id": user,
            "instrument_id": answer["items"][0]["instrument_id"],
            "position": 1,
        }
        sent.append(seen)
        if answer["variant"] in clicked:
            sent.append(seen | {"type": "click"})
    client.post("/v1/feedback", json=sent).raise_for_status()


def log_of(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return the fields of each line that the trainer logged."""
    lines = (pipeline.folder / "running.log").read_text().splitlines()
    return [json.loads(line).get("tickrec", {}) for line in lines]


def test_a_worse_generation_is_rolled_back_and_an_equal_one_promoted(
    pipeline: Pipeline, client: httpx.Client, rules: Path
) -> None:
    served = recommended(client, "u0")["generation"]

    # With one neighbor per item, users with 1 and 2 get popular items, of which 3 is the last.
    with trainer(pipeline, rules, neighbors_per_item=1):
        worse = await_canary(pipeline)
        found = {(a["variant"], a["generation"]) for a in (recommended(client, u) for u in USERS)}
        assert found == {("default", served), ("canary", worse)}
        show_and_click(client, {"default"})
        now_ms = round(time.time() * 1000)
        pipeline.publish(taken(user, NEW, now_ms) for user in USERS)
        pipeline.wait_until_folded()
        assert current(pipeline).canary is not None
        end_period(pipeline)
        rolled_back = await_decision(pipeline, "rolled back")
    assert rolled_back.generation == worse
    assert rolled_back.by == "rules"
    figures = rolled_back.figures
    for measure in ("ndcg", "clicks"):
        assert (figures[f"{measure}_mean"], figures[f"{measure}_mean_default"]) == (0, 1)
        users = figures[f"{measure}_users"] + figures[f"{measure}_users_default"]
        assert users == len(USERS)
    assert {recommended(client, user)["generation"] for user in USERS} == {served}

    rules.write_text(RULES.format(rest=0, least=0))
    with trainer(pipeline, rules):
        equal = await_canary(pipeline)
        show_and_click(client, {"default", "canary"})
        end_period(pipeline)
        promoted = await_decision(pipeline, "promoted")
    assert promoted.generation == equal
    assert {recommended(client, user)["generation"] for user in USERS} == {equal}

    logged = [(line["what"], line["generation"]) for line in log_of(pipeline) if "what" in line]
    assert logged == [
        ("on trial", worse),
        ("rolled back", worse),
        ("on trial", equal),
        ("promoted", equal),
    ]
    report = read_report(pipeline.store, pipeline.keyspace, equal)
    assert report is not None
    assert [decision.what for decision in report.decisions] == ["on trial", "promoted"]
    history = pipeline.run("trainer", "history")
    for generation, what in logged:
        assert what in history
        assert generation in history

    # An operator who disagrees.
    pipeline.run("trainer", "rollback")
    assert {recommended(client, user)["generation"] for user in USERS} == {served}
    assert current(pipeline).held
