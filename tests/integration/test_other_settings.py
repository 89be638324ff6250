"""Workers do not start on state of other settings, unless these only add types of events."""

import time

import httpx
import pytest

from contracts.event_types import BUILT_IN
from contracts.messages import Interaction
from contracts.topics import INTERACTIONS, QUOTES
from infra.local.process import start
from tests.integration.conftest import WAIT_S, Pipeline, dead_letters
from tests.integration.watched import counted, events, quotes

WEIGHTED: dict[str, str | int] = {"affinity": "greatest", "half_life_days": 36_500}
WITH_PURCHASES: dict[str, str | int] = {"event_weights": "purchase=20,return=0"}
PURCHASED, RETURNED, VIEWED = 1, 2, 3


@pytest.mark.kafka_only
@pytest.mark.stack
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

    said = pipeline.run("stream_processors", exits=1, metrics_port=0, **WEIGHTED)
    assert "EVENT_WEIGHTS was purchase=20,return=0 and is not set" in said


OTHERS: list[tuple[dict[str, str | int], str]] = [
    ({"bars_retention_minutes": 10}, "BARS_RETENTION_MINUTES was 1440 and is 10"),
    ({"bars_retention_minutes": 120}, "BARS_RETENTION_MINUTES was 1440 and is 120"),
    ({"history_cap": 50}, "HISTORY_CAP was 500 and is 50"),
    (
        {"affinity": "weighted"},
        "AFFINITY was binary and is weighted, HALF_LIFE_DAYS was not set and is 60.0",
    ),
    (
        {"affinity": "greatest"},
        "AFFINITY was binary and is greatest, HALF_LIFE_DAYS was not set and is 60.0",
    ),
    ({"user_weight": "inverse-degree"}, "USER_WEIGHT was none and is inverse-degree"),
]


@pytest.mark.slow
def test_a_worker_with_other_settings_names_both_values_and_leaves_the_state_untouched(
    pipeline: Pipeline,
) -> None:
    with pipeline.worker():
        pipeline.publish([*quotes(100), *events(20)])
        pipeline.wait_until_folded()
        commands = [
            pipeline.command(f"other-{n}", "stream_processors", metrics_port=0, **settings)
            for n, (settings, _) in enumerate(OTHERS)
        ]
        processes = [start(command) for command in commands]
        for command, process, (_, named) in zip(commands, processes, OTHERS, strict=True):
            assert process.wait(WAIT_S) == 1
            said = command.log.read_text()
            assert "was folded with other settings" in said
            assert named in said
            assert "choose another NAMESPACE" in said
        pipeline.publish([*quotes(100, 100), *events(20, 20)])
        pipeline.wait_until_folded([QUOTES, INTERACTIONS])
    assert counted(pipeline) == 200
