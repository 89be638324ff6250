"""Feedback is read from a real broker, counts once, by users, and only for two generations.

A click counts with its impression, wherever in the log the two stand.
"""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.feedback import FEEDBACK_TYPES, Feedback, FeedbackType
from infra.local.process import free_port
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.patience import PATIENCE_S
from tests.trainer.experiments.behaving import publish
from trainer.experiments import feedback as module
from trainer.experiments.clicks import count, read_clicks
from trainer.experiments.verdict import Clicked

TOKEN = "Jq3xT0mBzv9cWd2LrK5uYA"
GENERATIONS = ("g1", "g2")


def now_ms() -> int:
    return round(time.time() * 1000)


def feedback(
    generation: str,
    kind: FeedbackType = "impression",
    instrument: int = 4,
    n: int = 0,
    *,
    ts: int = 0,
    user: str = "",
    source: str = "history",
) -> Feedback:
    """Return a message about the n-th answer of a generation, which the user "u<n>" got."""
    return Feedback(
        type=kind,
        request_id=f"default.{generation}.{source}.{n:06d}{TOKEN[6:]}",
        user_id=user or f"u{n}",
        instrument_id=instrument,
        position=1,
        ts=ts or now_ms(),
    )


def by_user(clicked: Clicked) -> list[tuple[int, int]]:
    """Return impressions and clicks of each user, in a known order."""
    return sorted(zip(clicked.impressions.tolist(), clicked.clicks.tolist(), strict=True))


def test_what_was_sent_twice_counts_once() -> None:
    shown = [feedback("g1", n=n) for n in range(10)]
    clicked = [feedback("g1", "click", n=0), feedback("g1", "click", n=1)]
    others = [feedback("g2", n=20), feedback("g2", instrument=5, n=20), feedback("g3", n=30)]
    others += [feedback("g2", "click", n=20)]
    for times in (1, 2):
        found = count([*shown, *clicked, *others] * times, GENERATIONS)
        assert by_user(found.served) == [(1, 0)] * 8 + [(1, 1)] * 2
        assert by_user(found.canary) == [(2, 1)]


def test_answers_that_are_for_no_user_do_not_count() -> None:
    similar = [feedback("g1", kind, source="similar") for kind in FEEDBACK_TYPES]
    found = count([*similar, feedback("g1", n=1)], GENERATIONS)
    assert by_user(found.served) == [(1, 0)]
    assert found.served.unmatched == 0


def test_impressions_and_clicks_are_added_up_by_user() -> None:
    messages = [feedback("g1", n=n, user=f"u{n % 3}") for n in range(9)]
    messages += [feedback("g1", "click", n=n, user=f"u{n % 3}") for n in (0, 3, 1)]
    assert by_user(count(messages, GENERATIONS).served) == [(3, 0), (3, 1), (3, 2)]


def test_a_click_without_its_impression_is_counted_apart() -> None:
    messages = [
        feedback("g1"),
        feedback("g1", "click", instrument=5),  # of the same answer, but never shown
        feedback("g1", "click", n=1),
        feedback("g2", "click", n=2),
        feedback("g3", "click", n=3),
    ]
    found = count(messages * 2, GENERATIONS)
    assert by_user(found.served) == [(1, 0)]
    assert (found.served.unmatched, found.canary.unmatched) == (2, 1)
    assert by_user(found.canary) == []


def test_a_users_impressions_from_before_the_trial_do_not_count() -> None:
    messages = [feedback("g1", n=n) for n in range(3)]
    messages += [feedback("g2", n=7, user="u1"), feedback("g2", "click", n=7, user="u1")]
    found = count(messages, GENERATIONS)
    assert by_user(found.served) == [(1, 0)] * 2
    assert by_user(found.canary) == [(1, 1)]


messages_sent = st.builds(
    feedback,
    st.sampled_from(["g1", "g2", "g3"]),
    st.sampled_from(["impression", "click"]),
    st.integers(1, 3),
    st.integers(0, 9),
)


@given(messages=st.lists(messages_sent, max_size=60), random=st.randoms(use_true_random=False))
def test_the_order_of_the_log_and_repetitions_do_not_matter(
    messages: list[Feedback], random: random.Random
) -> None:
    shuffled = messages + random.choices(messages, k=20) if messages else []
    random.shuffle(shuffled)
    before, after = count(messages, GENERATIONS), count(shuffled, GENERATIONS)
    for one, other in ((before.served, after.served), (before.canary, after.canary)):
        assert by_user(one) == by_user(other)
        assert one.unmatched == other.unmatched
        assert (one.clicks <= one.impressions).all()


def test_feedback_since_the_trial_began_is_read_from_every_partition(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(broker, [feedback("g1", n=n, ts=now_ms() - 60_000) for n in range(5)])
    since = now_ms() - 1_000
    publish(
        broker,
        [feedback("g1", n=n) for n in range(100, 140)]
        + [feedback("g2", n=n) for n in range(30)]
        + [feedback("g2", "click", n=n) for n in range(3)] * 2,
        b"no feedback",
        b'{"type":"click"}',
    )
    monkeypatch.setattr(module, "TIMEOUT_S", PATIENCE_S)
    found = read_clicks(plain(broker), GENERATIONS, since, now_ms())
    assert found is not None
    assert by_user(found.served) == [(1, 0)] * 40
    assert by_user(found.canary) == [(1, 0)] * 27 + [(1, 1)] * 3


def test_no_feedback_at_all_is_nothing_shown(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", PATIENCE_S)
    found = read_clicks(plain(broker), GENERATIONS, now_ms(), now_ms())
    assert found is not None
    for clicked in (found.served, found.canary):
        assert (by_user(clicked), clicked.unmatched) == ([], 0)


def test_an_unreachable_kafka_yields_no_clicks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(module, "PAUSE_S", 0)
    assert read_clicks(plain(f"127.0.0.1:{free_port()}"), GENERATIONS, 0, now_ms()) is None


def test_feedback_beyond_what_memory_allows_is_not_read(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = now_ms()
    publish(broker, [feedback("g1", n=n) for n in range(2_000)])
    monkeypatch.setattr(module, "TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(module, "RECORDS_AT_ONCE", 100)
    monkeypatch.setattr(module, "RECORDS_MOST", 500)
    found = read_clicks(plain(broker), GENERATIONS, since, now_ms())
    assert found is not None
    assert 500 <= found.served.impressions.sum() < 700
