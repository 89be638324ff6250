"""Feedback is read from a real broker, counts once, and only for the two generations."""

import time

import pytest
from confluent_kafka import Producer

from contracts.feedback import Feedback, FeedbackType, encode_feedback, feedback_key
from contracts.topics import FEEDBACK
from infra.local.process import free_port
from runtime.topology import Topology
from tests.patience import PATIENCE_S
from trainer.experiments import clicks as module
from trainer.experiments.clicks import count, read_clicks
from trainer.experiments.verdict import Clicked, Clicks

TOKEN = "Jq3xT0mBzv9cWd2LrK5uYA"
GENERATIONS = ("g1", "g2")


def now_ms() -> int:
    return round(time.time() * 1000)


def feedback(
    generation: str, kind: FeedbackType = "impression", instrument: int = 4, n: int = 0, ts: int = 0
) -> Feedback:
    return Feedback(
        type=kind,
        request_id=f"default.{generation}.history.{n:06d}{TOKEN[6:]}",
        user_id=f"u{n}",
        instrument_id=instrument,
        position=1,
        ts=ts or now_ms(),
    )


def publish(broker: str, messages: list[Feedback], *raw: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5})
    for message in messages:
        producer.produce(FEEDBACK.name, encode_feedback(message), feedback_key(message))
    for value in raw:
        producer.produce(FEEDBACK.name, value)
    assert producer.flush(PATIENCE_S) == 0


def test_what_was_sent_twice_counts_once() -> None:
    shown = [feedback("g1", n=n) for n in range(10)]
    clicked = [feedback("g1", "click", n=0), feedback("g1", "click", n=1)]
    others = [feedback("g2"), feedback("g2", instrument=5), feedback("g3"), feedback("g2", "click")]
    expected = Clicks(Clicked(10, 2), Clicked(2, 1))
    assert count([*shown, *clicked, *others], GENERATIONS) == expected
    assert count([*shown, *clicked, *others] * 2, GENERATIONS) == expected


def test_feedback_since_the_trial_began_is_read_from_every_partition(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(broker, [feedback("g1", n=n, ts=now_ms() - 60_000) for n in range(5)])
    since = now_ms() - 1_000
    publish(
        broker,
        [feedback("g1", n=n) for n in range(40)]
        + [feedback("g2", n=n) for n in range(30)]
        + [feedback("g2", "click", n=n) for n in range(3)] * 2,
        b"no feedback",
        b'{"type":"click"}',
    )
    monkeypatch.setattr(module, "TIMEOUT_S", PATIENCE_S)
    found = read_clicks(broker, GENERATIONS, since, now_ms())
    assert found == Clicks(Clicked(40, 0), Clicked(30, 3))


def test_no_feedback_at_all_is_nothing_shown(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", PATIENCE_S)
    found = read_clicks(broker, GENERATIONS, now_ms(), now_ms())
    assert found == Clicks(Clicked(0, 0), Clicked(0, 0))


def test_kafka_that_does_not_answer_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(module, "PAUSE_S", 0)
    assert read_clicks(f"127.0.0.1:{free_port()}", GENERATIONS, 0, now_ms()) is None
