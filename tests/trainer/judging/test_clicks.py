"""Feedback is read from a real broker, and counts once, by users, for their own variant alone."""

import random
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.feedback import FEEDBACK_TYPES, Feedback, FeedbackType
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.patience import PATIENCE_S
from tests.trainer.judging.behaving import publish
from trainer.judging import feedback as module
from trainer.judging.feedback import clicks_per_list, read_feedback

TOKEN = "Jq3xT0mBzv9cWd2LrK5uYA"
VARIANTS = ("default", "canary")


def now_ms() -> int:
    return round(time.time() * 1000)


def feedback(
    variant: str,
    kind: FeedbackType = "impression",
    instrument: int = 4,
    n: int = 0,
    *,
    ts: int = 0,
    user: str = "",
    source: str = "history",
) -> Feedback:
    """Return a message about the n-th answer of a variant, which the user "u<n>" got."""
    return Feedback(
        type=kind,
        request_id=f"{variant}.g1.{source}.BAA.{n:06d}{TOKEN[6:]}{22 * 'A'}",
        user_id=user or f"{variant}/u{n}",
        instrument_id=instrument,
        position=1,
        ts=ts or now_ms(),
    )


def own_variant(user: str) -> str:
    return user.partition("/")[0]


def rates(messages: Iterable[Feedback]) -> dict[str, list[float]]:
    """Return clicks per list of each variant's users, in a known order."""
    found = clicks_per_list(messages, VARIANTS, own_variant)
    return {variant: sorted(of_users.tolist()) for variant, of_users in found.items()}


def test_what_was_sent_twice_counts_once_and_a_list_however_much_of_it_was_seen() -> None:
    messages = [feedback("default", instrument=i, n=n) for n in range(4) for i in (4, 5, 6)]
    messages += [feedback("default", "click", i, n=0) for i in (4, 5)]
    messages += [feedback("canary", n=20), feedback("canary", "click", n=20), feedback("steep")]
    for times in (1, 2):
        assert rates(messages * times) == {"default": [0, 0, 0, 2], "canary": [1]}


def test_other_variants_answers_for_nobody_and_clicks_without_impression_do_not_count() -> None:
    messages = [feedback("default", kind, source="similar") for kind in FEEDBACK_TYPES]
    messages += [feedback("default", kind, n=1, user="canary/u1") for kind in FEEDBACK_TYPES]
    messages += [feedback("default", "click", n=2)]
    assert rates([*messages, feedback("default", n=3)]) == {"default": [0], "canary": []}


messages_sent = st.builds(
    feedback,
    st.sampled_from(["default", "canary", "steep"]),
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
    assert rates(messages) == rates(shuffled)


def test_feedback_since_then_is_read_from_every_partition(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(broker, [feedback("default", n=n, ts=now_ms() - 60_000) for n in range(5)])
    since = now_ms() - 1_000
    publish(
        broker,
        [feedback("default", n=n) for n in range(100, 140)]
        + [feedback("canary", n=n) for n in range(30)]
        + [feedback("canary", "click", n=n) for n in range(3)] * 2,
        b"no feedback",
        b'{"type":"click"}',
    )
    monkeypatch.setattr(module, "TIMEOUT_S", PATIENCE_S)
    found = read_feedback(plain(broker), since, now_ms(), rates)
    assert found == {"default": [0] * 40, "canary": [0] * 27 + [1] * 3}


def test_feedback_beyond_what_memory_allows_is_not_read(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = now_ms()
    publish(broker, [feedback("default", n=n) for n in range(2_000)])
    monkeypatch.setattr(module, "TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(module, "RECORDS_AT_ONCE", 100)
    monkeypatch.setattr(module, "RECORDS_MOST", 500)
    found = read_feedback(plain(broker), since, now_ms(), rates)
    assert found is not None
    assert 500 <= len(found["default"]) < 700
