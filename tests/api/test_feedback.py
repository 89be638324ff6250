"""Feedback over HTTP reaches the log and the metrics."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from api.events.parsing import InvalidEventsError
from api.feedback.parsing import parse_feedback
from api.generations.request_ids import Signer
from contracts.feedback import decode_feedback
from contracts.generations import Canary, Current, Served
from contracts.messages import MAX_AHEAD_MS
from contracts.partitioning import user_partition
from contracts.topics import FEEDBACK
from runtime.topology import Topology

from .conftest import NOW_MS, Filled, Serve
from .problems import problem
from .test_writing import read_back

SIGNER = Signer(b"of-tests")
"""As `Filled.signer` has it."""


def made_for(user_id: str, variant: str = "default", source: str = "history") -> str:
    return SIGNER.new(variant, "20210815T211000Z-7", source, user_id, [4])


CLICK: dict[str, Any] = {
    "type": "click",
    "request_id": made_for("ABC"),
    "user_id": "ABC",
    "instrument_id": 4,
    "position": 2,
}
IMPRESSION = CLICK | {"type": "impression", "ts": 1629061628123}


def body(*feedback: dict[str, Any]) -> bytes:
    return json.dumps(feedback).encode()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "view"}, "type"),
        ({"request_id": "default"}, "request_id"),
        ({"request_id": "default.20210815T211000Z-7.history." + 44 * "A"}, "request_id"),
        ({"request_id": made_for("ABC")[:-22]}, "request_id"),
        ({"request_id": Signer(b"another").new("v", "g", "history", "ABC", [4])}, "request_id"),
        ({"request_id": made_for("ABCD")}, "request_id"),
        ({"user_id": "ABCD"}, "request_id"),
        ({"user_id": "é" * 65}, "user_id"),
        ({"instrument_id": -1}, "instrument_id"),
        ({"instrument_id": 5}, "instrument_id"),
        ({"position": 0}, "position"),
        ({"ts": NOW_MS + MAX_AHEAD_MS + 1}, "ts"),
    ],
)
def test_each_broken_rule_names_index_and_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidEventsError, match="1 of 3 events") as caught:
        parse_feedback(body(CLICK, CLICK | change, CLICK), SIGNER, NOW_MS)
    assert [(error.index, error.field) for error in caught.value.errors] == [(1, field)]


@given(place=st.integers(0, len(CLICK["request_id"]) - 1), character=st.sampled_from("aZ09_-."))
def test_an_id_that_was_changed_anywhere_is_refused(place: int, character: str) -> None:
    made = CLICK["request_id"]
    changed = made[:place] + character + made[place + 1 :]
    assume(changed != made)
    with pytest.raises(InvalidEventsError, match="1 of 1 events"):
        parse_feedback(body(CLICK | {"request_id": changed}), SIGNER, NOW_MS)


@pytest.fixture
async def client(writing: httpx.AsyncClient, filled: Filled) -> httpx.AsyncClient:
    filled.signer()
    return writing


async def test_accepted_feedback_stands_in_the_log_under_its_user_and_is_counted(
    client: httpx.AsyncClient, filled: Filled, broker: str, topology: Topology
) -> None:
    variants = {"default": Served("g1", "cosine", "user-knn")}
    canary = Canary(Served("g3", "ease", "user-knn"), 0.25, 0, 1)
    filled.serve(Current(1, variants, None, canary))
    sent = [
        feedback | {"user_id": user, "request_id": made_for(user)}
        for user in (f"Zoë {n}" for n in range(5))
        for feedback in (IMPRESSION, CLICK)
    ]
    answer = await client.post("/v1/feedback", json=sent[1:])
    assert (answer.status_code, answer.json()) == (202, {"impressions": 4, "clicks": 5})

    found = read_back(broker, FEEDBACK.name, FEEDBACK.partitions, 9)
    messages = [decode_feedback(record.value, NOW_MS) for record in found]
    expected = parse_feedback(body(*sent[1:]), SIGNER, NOW_MS)
    assert sorted(messages, key=str) == sorted(expected, key=str)
    for record, message in zip(found, messages, strict=True):
        assert record.key == message.user_id.encode()
        assert record.partition == user_partition(message.user_id, FEEDBACK.partitions)
    for variant in ("canary", "served-no-more"):
        event = CLICK | {"request_id": made_for("ABC", variant)}
        assert (await client.post("/v1/feedback", json=event)).status_code == 202
    metrics = (await client.get("/metrics")).text
    for kind, variant, n in (
        ("impression", "default", 4),
        ("click", "default", 5),
        ("click", "canary", 1),
        ("click", "unknown", 1),
    ):
        labels = f'kind="{kind}",source="history",variant="{variant}"'
        assert f"api_feedback_total{{{labels}}} {n}.0" in metrics


async def test_one_bad_message_keeps_its_whole_request_out_of_the_log_and_of_the_metrics(
    client: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    answer = await client.post("/v1/feedback", json=[CLICK, CLICK | {"position": 0}])
    assert problem(answer) == (422, "invalid-events")
    assert [(e["index"], e["field"]) for e in answer.json()["errors"]] == [(1, "position")]
    assert "api_feedback_total{" not in (await client.get("/metrics")).text
    await client.post("/v1/feedback", json=CLICK | {"position": 7})
    (record,) = read_back(broker, FEEDBACK.name, FEEDBACK.partitions, 1)
    assert decode_feedback(record.value, NOW_MS).position == 7


async def test_what_kafka_did_not_take_is_a_503_and_is_not_counted(
    serve: Serve, filled: Filled
) -> None:
    filled.signer()
    async with serve() as client:
        answer = await client.post("/v1/feedback", json=CLICK)
        assert problem(answer) == (503, "log-unavailable")
        metrics = (await client.get("/metrics")).text
    assert 'api_published_total{outcome="failed",topic="feedback"} 1.0' in metrics
    assert "api_feedback_total{" not in metrics


async def test_only_what_was_shown_can_be_clicked(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.generation("g1", {"4": [("70001", 0.5, 1.0), ("6", 0.25, 1.0)]}, popular=[("7", 3)])
    filled.history("ABC", {"4": (1, 1)}, off=1)
    shown = (await client.get("/v1/users/ABC/recommendations?n=2")).json()
    legacy = await client.get("/instruments/similar/ABC")
    nothing = (await client.get("/v1/users/ABC/recommendations?exclude=70001,6,7")).json()
    click = {"type": "click", "user_id": "ABC", "position": 1}
    seen = {item["instrument_id"] for item in shown["items"]}
    assert seen
    for request_id, items in (
        (shown["request_id"], seen),
        (legacy.headers["X-Request-Id"], {int(i) for i in legacy.json()["predicted_items"]}),
        (nothing["request_id"], {item["instrument_id"] for item in nothing["items"]}),
    ):
        for instrument in (4, 5, 6, 7, 70001, 70002):
            sent = click | {"request_id": request_id, "instrument_id": instrument}
            answer = await client.post("/v1/feedback", json=sent)
            assert (answer.status_code == 422) == (instrument not in items)
            if answer.status_code == 422:
                (error,) = answer.json()["errors"]
                assert error["field"] == "instrument_id"
