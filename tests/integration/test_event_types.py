"""Types of events that a setting adds, from an event over HTTP to the history."""

import time

import httpx
import pytest

from contracts.event_types import BUILT_IN
from contracts.messages import Interaction
from contracts.topics import INTERACTIONS
from infra.local.process import start
from tests.integration.conftest import WAIT_S, Pipeline, dead_letters

pytestmark = [pytest.mark.kafka_only, pytest.mark.stack]

WEIGHTED: dict[str, str | int] = {"affinity": "greatest", "half_life_days": 36_500}
WITH_PURCHASES: dict[str, str | int] = {"event_weights": "purchase=20,return=0"}
PURCHASED, RETURNED, VIEWED = 1, 2, 3


def test_events_of_an_added_type_count_from_then_on_and_no_worker_forgets_the_type(
    pipeline: Pipeline,
) -> None:
    now_ms = time.time_ns() // 1_000_000

    def event(name: str, item: int) -> Interaction:
        return Interaction(user_id="me", instrument_id=item, event=name, ts=now_ms)

    with pipeline.worker(**WEIGHTED):
        pipeline.publish([event("purchase", PURCHASED), event("view", VIEWED)])
        pipeline.wait_until_folded()
    ((_, headers),) = dead_letters(pipeline.broker, INTERACTIONS.name)
    assert b"event 'purchase' is none of view, " in headers["reason"]

    with (
        pipeline.worker(**WEIGHTED, **WITH_PURCHASES),
        pipeline.api(**WITH_PURCHASES) as address,
        httpx.Client(base_url=address) as client,
    ):
        sent = [event("purchase", PURCHASED), event("trade", RETURNED), event("return", RETURNED)]
        fields = [{"type": "interaction", "user_id": "me", "instrument_id": e.instrument_id,
                   "event": e.event, "ts": e.ts} for e in sent]  # fmt: skip
        client.post("/v1/events", json=fields).raise_for_status()
        refused = client.post("/v1/events", json=fields[0] | {"event": "sale"})
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert error["field"] == "event"
        assert f"is none of {', '.join(BUILT_IN)}, purchase" in error["reason"]
        pipeline.wait_until_folded()
        answer = client.get("/v1/users/me/history").raise_for_status().json()
        affinities = {item["instrument_id"]: item["affinity"] for item in answer["items"]}
        assert affinities[PURCHASED] == pytest.approx(20 * affinities[VIEWED])
        assert affinities[RETURNED] == 0

    command = pipeline.command("forgetful", "stream_processors", metrics_port=0, **WEIGHTED)
    assert start(command).wait(WAIT_S) == 1
    assert "EVENT_WEIGHTS was purchase=20,return=0 and is not set" in command.log.read_text()
