"""Request ids, who can issue them, and what feedback that names them leaves in log and metrics."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from redis import Redis

from api.events.parsing import InvalidEventsError
from api.feedback.parsing import parse_feedback
from api.generations.request_ids import _TOKENS_AT_ONCE, RequestIds, Signer
from api.redis.connection import ErrorAnswer
from api.redis.reading import Read
from contracts.feedback import NAME, TOKEN_CHARACTERS, decode_feedback, parse_request_id
from contracts.generations import Canary, Current, Served
from contracts.messages import MAX_AHEAD_MS
from contracts.partitioning import user_partition
from contracts.topics import FEEDBACK
from runtime.topology import Topology
from tests.patience import until_true

from .asking import BASKET, answered, problem
from .conftest import NOW_MS, THIS_HOUR, Filled, Serve
from .reading import run
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


names = st.from_regex(NAME, fullmatch=True)
users = st.text(st.characters(codec="utf-8"), min_size=1, max_size=32)
answers = st.tuples(names, names, names, users)


def test_every_token_is_unique_over_many_batches_and_threads() -> None:
    count = 20 * _TOKENS_AT_ONCE
    with ThreadPoolExecutor(4) as pool:
        tokens = set(pool.map(lambda _: parse_request_id(made_for("ABC")).token, range(count)))
    assert len(tokens) == count
    # Random: each of the 64 characters occurs at each position.
    assert {len(set(place)) for place in zip(*tokens, strict=True)} == {64}
    assert {len(token) for token in tokens} == {TOKEN_CHARACTERS}


@given(answers, users)
def test_an_id_is_read_back_and_known_again_for_its_own_user_and_by_its_own_key_only(
    answer: tuple[str, str, str, str], other: str
) -> None:
    made, user = SIGNER.new(*answer, [4]), answer[3]
    assert parse_request_id(made)[:3] == answer[:3]
    assert SIGNER.made(made, user)
    assert SIGNER.made(made, other) == (other == user)
    assert not Signer(b"another key").made(made, user)


@given(answers, answers)
def test_a_signature_is_of_one_answer(
    first: tuple[str, str, str, str], second: tuple[str, str, str, str]
) -> None:
    parts = parse_request_id(SIGNER.new(*first, [4]))
    moved = f"{'.'.join(second[:3])}.{parts.shown}.{parts.token}{parts.signature}"
    assert SIGNER.made(moved, second[3]) == (first == second)


def test_all_processes_of_a_namespace_have_one_key_that_the_first_makes(
    store_url: str, filled: Filled
) -> None:
    with Redis.from_url(store_url) as raw:
        raw.set_response_callback("SET", lambda answer, **_: answer)
        reads = [RequestIds(filled.keys).signer() for _ in range(2)]
        assert [raw.execute_command(*next(read)[0]) for read in reads] == [None, None]
        # Both found none, so both make one: the first one counts.
        commands = [read.send([None])[0] for read in reads]
        kept = [raw.execute_command(*command) for command in commands]
        first, second = (
            resumed_with(answer, read) for answer, read in zip(kept, reads, strict=True)
        )
        later = run(RequestIds(filled.keys).signer(), raw, filled)
    made = first.new("v", "g", "history", "ABC", [4])
    assert second.made(made, "ABC")
    assert later.made(made, "ABC")


def test_after_the_store_lost_the_key_all_processes_have_one_again(
    store_url: str, filled: Filled
) -> None:
    with Redis.from_url(store_url) as raw:
        raw.set_response_callback("SET", lambda answer, **_: answer)
        key = filled.keys.request_id_key()
        one, another = RequestIds(filled.keys), RequestIds(filled.keys)
        run(one.signer(), raw, filled)
        raw.delete(key)
        run(another.signer(), raw, filled)  # comes when there is none
        made = run(another.signer(), raw, filled).new("v", "g", "history", "ABC", [4])
        assert not run(one.signer(), raw, filled).made(made, "ABC")
        assert run(one.latest(), raw, filled).made(made, "ABC")
        raw.delete(key)
        assert run(one.latest(), raw, filled).made(made, "ABC")  # puts its own there
        assert run(RequestIds(filled.keys).signer(), raw, filled).made(made, "ABC")


@pytest.mark.parametrize("refusal", ["OOM no memory", "NOREPLICAS too few", "MISCONF disk full"])
def test_while_no_key_can_be_written_ids_are_signed_and_writing_is_tried_for_each(
    refusal: str, filled: Filled
) -> None:
    def refused() -> Signer:
        read = ids.signer()
        next(read)
        (command,) = read.send([None])
        assert command[0] == "SET"
        return ended_by(lambda: read.throw(ErrorAnswer(refusal)))

    ids = RequestIds(filled.keys)
    made = [refused().new("v", "g", "history", "ABC", [4]) for _ in range(2)]
    read = ids.signer()
    next(read)
    read.send([None])
    later = resumed_with(None, read)
    assert all(later.made(one, "ABC") for one in made)
    with pytest.raises(StopIteration):  # asks for nothing any more
        next(ids.signer())


def test_an_error_that_is_no_refusal_is_not_passed_over(filled: Filled) -> None:
    read = RequestIds(filled.keys).signer()
    next(read)
    read.send([None])
    with pytest.raises(ErrorAnswer, match="syntax"):
        read.throw(ErrorAnswer("ERR syntax error"))


def resumed_with(answer: object, read: Read[Signer]) -> Signer:
    """Return the result of a read after its last answer."""
    return ended_by(lambda: read.send([answer]))


def ended_by(step: Callable[[], object]) -> Signer:
    """Return the result of a read's last step."""
    with pytest.raises(StopIteration) as returned:
        step()
    signer: Signer = returned.value.value
    return signer


LISTS: Final = {
    "/v1/instruments/4/similar": ("similar", "default"),
    "/v1/trending": ("trending", "none"),
    BASKET: ("items", "default"),
}

ANYBODY: Final = ("ABC", "Zoë")


@pytest.fixture
async def sharing(
    writing: httpx.AsyncClient, filled: Filled, topology: Topology
) -> httpx.AsyncClient:
    filled.generation("g1", {"4": [("5", 0.9, 5.0), ("7", 0.8, 4.0)]}, popular=[("5", 9.0)])
    assert topology.quotes  # the topics are there
    filled.events({5: 9, 7: 3}, THIS_HOUR)
    return writing


@until_true
async def answer(client: httpx.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    found = await answered(client, path, **fields)
    assert found["items"]
    return found


def click(request_id: str, user_id: str, instrument_id: int) -> dict[str, Any]:
    return {
        "type": "click",
        "request_id": request_id,
        "user_id": user_id,
        "instrument_id": instrument_id,
        "position": 1,
    }


async def test_feedback_of_any_user_on_them_counts_by_source_and_variant(
    sharing: httpx.AsyncClient,
) -> None:
    for path, (source, variant) in LISTS.items():
        request_id = (await answer(sharing, path))["request_id"]
        clicks = [click(request_id, user, 5) for user in ANYBODY]
        taken = await sharing.post("/v1/feedback", json=clicks)
        assert (taken.status_code, taken.text) == (202, '{"impressions":0,"clicks":2}'), path
        metrics = (await sharing.get("/metrics")).text
        labels = f'kind="click",source="{source}",variant="{variant}"'
        assert f"api_feedback_total{{{labels}}} 2.0" in metrics


async def test_what_was_not_in_them_or_was_made_up_is_refused(sharing: httpx.AsyncClient) -> None:
    for path, (source, _) in LISTS.items():
        request_id = (await answer(sharing, path, n=1))["request_id"]
        head, tail = request_id.rsplit(".", 1)
        of_a_user = request_id.replace(f".{source}.", ".history.")
        without_items = f"{head.rsplit('.', 1)[0]}.{tail}"
        for wrong in (
            click(request_id, "ABC", 7),
            click(of_a_user, "ABC", 5),
            click(without_items, "ABC", 5),
            click(f"{head}.{'A' * 44}", "ABC", 5),
        ):
            refused = await sharing.post("/v1/feedback", json=wrong)
            assert refused.status_code == 422, (path, wrong)
    users = (await sharing.get("/v1/users/ABC/recommendations")).json()
    as_shared = users["request_id"].replace(f".{users['source']}.", ".similar.")
    shown = users["items"][0]["instrument_id"]
    assert (await sharing.post("/v1/feedback", json=click(as_shared, "ABC", shown))).is_error


async def test_an_id_is_that_of_what_the_answer_has(sharing: httpx.AsyncClient) -> None:
    path = "/v1/instruments/4/similar"
    first, named, shorter = [
        (await answer(sharing, path, **asked))["request_id"]
        for asked in ({}, {"names": "true"}, {"n": 1})
    ]
    assert first == named != shorter
    assert parse_request_id(first).generation == "g1"
    baskets = {(await answer(sharing, BASKET))["request_id"] for _ in range(3)}
    assert len(baskets) == 3
