"""A trial decides, through Kafka and Redis, what the verdict says of what happened."""

import functools
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from contracts.feedback import Feedback, FeedbackType
from contracts.generations import DEFAULT_VARIANT, Canary, Current, Served
from contracts.histories import HistoryEntry
from contracts.times import MINUTE_MS
from contracts.variants import in_canary
from runtime.kafka.config import plain
from tests.conftest import TopicsFactory
from tests.patience import PATIENCE_S
from tests.trainer.experiments.behaving import publish, put_history, put_lists
from tests.trainer.experiments.simulated_canaries import simulated_clicks
from tests.trainer.setup import PARTITIONS, Setup, unwatched
from trainer.experiments import feedback as feedback_module
from trainer.experiments.accuracy import accuracy_of
from trainer.experiments.behavior import Had, Since
from trainer.experiments.rules import CanaryRules
from trainer.experiments.served_lists import Lists
from trainer.experiments.trial import Trial
from trainer.experiments.verdict import Clicked, Clicks, judge

LOSSES = (0.0, 0.0, 0.0, 0.5)
"""Of each canary's clicks."""
RULES = CanaryRules(minutes=0)
CANARY_USERS = 300
HOLDOUT_USERS = 400
SHARE = 0.5
ITEMS = 40
SHOWN_AT_ONCE = 10


class Happened(NamedTuple):
    """What happened to a canary's users."""

    served: str
    canary: str
    clicks: Clicks
    users: dict[str, Since]
    lists: tuple[Lists, Lists]
    since_ms: int


def happens(random: np.random.Generator, place: int, loss: float) -> Happened:
    """Return users who take items at random, and lists that know nothing of it."""
    since_ms = round(time.time() * 1000)

    def some_lists() -> Lists:
        scores = np.round(random.normal(0.2, 0.3, (ITEMS, ITEMS)), 3)
        scores[random.random((ITEMS, ITEMS)) < 0.7] = 0
        return Lists(
            {i: {j: s for j, s in enumerate(row) if s} for i, row in enumerate(scores.tolist())}
        )

    def user() -> Since:
        items = random.permutation(ITEMS)[:6].tolist()
        times = sorted((-random.integers(0, 60, 4) * MINUTE_MS).tolist(), reverse=True)
        before = {
            item: Had(float(random.integers(1, 5)), since_ms + t - older)  # latest first
            for older, (item, t) in enumerate(zip(items[:4], times, strict=True))
        }
        return Since(before, items[4:])

    return Happened(
        f"served-{place}",
        f"canary-{place}",
        simulated_clicks(random, CANARY_USERS, loss),
        {f"u{n}": user() for n in range(HOLDOUT_USERS)},
        (some_lists(), some_lists()),
        since_ms,
    )


def feedback_of(happened: Happened) -> Iterator[Feedback]:
    """Yield the feedback of all users, each of whom saw answers of ten items; some of it twice."""
    for generation, clicked in (
        (happened.served, happened.clicks.served),
        (happened.canary, happened.clicks.canary),
    ):
        for user, (shown, chosen) in enumerate(zip(*counts(clicked), strict=True)):
            for n in range(shown):
                kinds: list[FeedbackType] = (
                    ["click", "impression"] if n < chosen else ["impression"]
                )
                for kind in kinds * (1 + (n % 7 == 0)):
                    yield feedback(generation, user, n, kind)


def counts(clicked: Clicked) -> tuple[list[int], list[int]]:
    return clicked.impressions.tolist(), clicked.clicks.tolist()


def feedback(generation: str, user: int, n: int, kind: FeedbackType) -> Feedback:
    answer, place = divmod(n, SHOWN_AT_ONCE)
    return Feedback(
        type=kind,
        request_id=f"default.{generation}.history.{user:011d}{answer:011d}",
        user_id=f"{generation}/{user}",
        instrument_id=place,
        position=place + 1,
        ts=round(time.time() * 1000),
    )


def put(setup: Setup, happened: Happened) -> None:
    """Write histories and lists, and serve both generations."""
    for name, user in happened.users.items():
        entries = {
            item: HistoryEntry(2 * had.affinity, had.t, s=2) for item, had in user.before.items()
        }
        entries |= {item: HistoryEntry(1, happened.since_ms + 1) for item in user.after}
        put_history(setup, name, entries)
    generations = (happened.served, happened.canary)
    for generation, lists in zip(generations, happened.lists, strict=True):
        put_lists(setup, generation, lists.neighbors)
    served, canary = (Served(generation, "cosine", "user-knn") for generation in generations)
    current = Current(1, {DEFAULT_VARIANT: served}, None, Canary(canary, SHARE, happened.since_ms))
    setup.store.set(setup.keys.model_current(), msgspec.json.encode(current))


def test_what_a_trial_decides_is_what_the_verdict_says_of_what_happened(
    broker: str, topics: TopicsFactory, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics(partitions=PARTITIONS)
    monkeypatch.setattr(feedback_module, "TIMEOUT_S", PATIENCE_S)
    seed = secrets.randbelow(2**32)
    print("seed", seed)
    random = np.random.default_rng(seed)
    now = functools.partial(datetime.now, UTC)
    trial = Trial(setup.store, setup.keys, RULES, plain(broker), 0, 1, now, unwatched())
    for place, loss in enumerate(LOSSES):
        happened = happens(random, place, loss)
        put(setup, happened)
        publish(broker, feedback_of(happened))
        trial.step(notes=True)
        decision = setup.decisions()[0]
        tried = [user for user in happened.users if in_canary(user, happened.canary, SHARE)]
        accuracy = accuracy_of(happened.users, tried, *happened.lists)
        expected = judge(accuracy, happened.clicks, RULES)
        print(place, loss, decision.what, decision.why, decision.figures)
        assert decision.generation == happened.canary
        assert decision.what == ("rolled back" if expected.worse else "promoted")
        assert (decision.why, decision.figures) == (expected.why, expected.figures)
