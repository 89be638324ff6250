"""The estimate from explored answers covers the truth of a simulation; the plain rate does not.

Answers are drawn and their ids are made by the API's own code, and read as the trainer does.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from api.models.request_ids import Signer
from api.recommendations.answers import Recommended
from api.recommendations.choosing import Explorable
from api.recommendations.exploring import explored
from contracts.feedback import Feedback, FeedbackType
from contracts.figures import Exploration, Rate
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.patience import PATIENCE_S
from tests.trainer.experiments.behaving import publish
from trainer.experiments import feedback as feedback_module
from trainer.experiments.exploration import ESTIMATED_EVERY, read_exploration, seen_in
from trainer.judging.off_policy import estimated

SIGNER = Signer(b"of tests")
AT = "2021-08-16T00:00:00+00:00"
N = 5
OWN = tuple(range(N))
SEEDS = range(100)
USERS = 120
ANSWERS = 3
COVERED_LEAST = 0.89
"""Of 100 experiments at 95 %: less with a probability of 0.4 %."""


class World(NamedTuple):
    """Users who click by item and slot, each in a measure of their own."""

    share: float
    pool: int
    report_most: int = N
    """slots that a client shows"""

    def p(self, item: int, slot: int) -> float:
        """Return how probably an average user clicks an item at a slot: own ones mostly."""
        return (0.3 - 0.03 * item if item < N else 0.06 + 0.01 * (item % 3)) / (1 + 0.3 * slot)

    def feedback(self, seed: int) -> Iterator[Feedback]:
        draws = random.Random(seed)
        found = found_of(OWN, range(100, 100 + self.pool))
        for u in range(USERS):
            user, keen = f"u{seed}-{u}", draws.choice((0.25, 0.75, 2.0))
            for hour in range(ANSWERS):
                items, draw = explored(found, self.share, f"{user} {hour}")
                ids = [item.instrument_id for item in items]
                request_id = SIGNER.new("default", "g1", "history", user, ids, draw)
                for slot, item in enumerate(ids[: self.report_most]):
                    kinds: list[FeedbackType] = ["impression"]
                    if draws.random() < keen * self.p(item, slot):
                        kinds.append("click")
                    for kind in kinds:
                        yield Feedback(
                            type=kind,
                            request_id=request_id,
                            user_id=user,
                            instrument_id=item,
                            position=slot + 1,
                            ts=1,
                        )

    def truth(self) -> dict[str, float]:
        """Return the rates of the policies, by the definition of each."""
        shown = range(min(N, self.report_most))
        first = max(N - self.pool, 0)
        own = {slot: self.p(slot, slot) for slot in shown}
        others = {
            slot: float(np.mean([self.p(100 + place, slot) for place in range(self.pool)]))
            for slot in shown
            if slot >= first
        }
        return {
            "ranked": float(np.mean(list(own.values()))),
            "explored": float(np.mean(list(others.values()))),
            "lead": float(np.mean([own[slot] - other for slot, other in others.items()])),
        }


def found_of(own: Sequence[int], candidates: Sequence[int]) -> Explorable:
    items, others = ([Recommended(item, 0, []) for item in some] for some in (own, candidates))
    return Explorable(items, items + others, 0, len(items), diversity=0)


def estimate(messages: Iterable[Feedback]) -> Exploration:
    found = estimated(seen_in(messages, "default"), AT)
    assert found is not None
    return found


def covers(rate: Rate, truth: float) -> bool:
    return rate.low <= truth <= rate.high


@pytest.mark.parametrize(
    ("world", "plain_most"),
    [(World(0.3, 20), 0.2), (World(0.3, 3), 0.85), (World(0.1, 20, report_most=3), 0.9)],
    ids=str,
)
def test_the_intervals_cover_the_truth_and_that_of_the_plain_rate_does_not(
    world: World, plain_most: float
) -> None:
    truth = world.truth()
    found = [estimate(world.feedback(seed)) for seed in SEEDS]
    covered = {
        "ranked": np.mean([covers(each.ranked, truth["ranked"]) for each in found]),
        "explored": np.mean([covers(each.explored, truth["explored"]) for each in found]),
        "lead": np.mean([abs(e.lead.mean - truth["lead"]) <= e.lead.error for e in found]),
        "served": np.mean([covers(each.served, truth["ranked"]) for each in found]),
    }
    means = {name: np.mean([getattr(e, name).rate for e in found]) for name in ("ranked", "served")}
    print(f"seeds {SEEDS}: truth {truth}, mean {means}, covered {covered}")
    for measure in ("ranked", "explored", "lead"):
        assert covered[measure] >= COVERED_LEAST, measure
    assert means["ranked"] == pytest.approx(truth["ranked"], rel=0.02)
    assert means["served"] < means["ranked"]
    assert covered["served"] <= plain_most


def shown(
    request_id: str, item: int, user: str = "u1", kind: FeedbackType = "impression"
) -> Feedback:
    return Feedback(
        type=kind, request_id=request_id, user_id=user, instrument_id=item, position=1, ts=1
    )


def test_each_message_counts_once_and_others_than_those_of_the_variant_not_at_all() -> None:
    messages = list(World(0.3, 20).feedback(1))
    once = estimate(messages)
    twice = [*messages, *random.Random(1).sample(messages, len(messages))]
    assert estimate(twice) == once
    _, draw = explored(found_of([1], [2]), 0.5, "a seed")
    of_others = [
        shown(SIGNER.new("default", "g1", "history", "u1", [1]), 1),
        shown(SIGNER.new("another", "g1", "history", "u1", [1], draw), 1),
        shown(SIGNER.new("default", "g1", "history", "u1", [1], draw), 3),
        shown(SIGNER.new("default", "g1", "history", "u1", [1, 1 + 2**16], draw), 1),
        shown("default.g1.history.AQA.AgAAAAAA." + 44 * "A", 1),
        shown("default.g1.history.AQA.AAAAA." + 44 * "A", 1),
    ]
    assert estimate([*messages, *of_others]) == once


def test_where_nothing_was_explored_nothing_is_estimated() -> None:
    assert estimated(seen_in([], "default"), AT) is None
    assert estimated(seen_in(World(0, 20).feedback(1), "default"), AT) is None
    messages = World(0.3, 0).feedback(1)
    assert estimated(seen_in(messages, "default"), AT) is None


def test_the_rates_are_weighted_by_the_inverse_of_their_propensities() -> None:
    """By hand: at e = 1/2 and 1/4, own items count 2 and 4/3, explored ones 2 and 4."""
    parts = [(0.5, [1], True), (0.5, [101], False), (0.25, [1], False), (0.25, [101], True)]
    messages = []
    for n, (share, ids, clicked) in enumerate(parts):
        for seed in range(1_000):
            items, draw = explored(found_of([1], [101]), share, str(seed))
            if [item.instrument_id for item in items] == ids:
                break
        request_id = SIGNER.new("default", "g1", "history", f"u{n % 2}", ids, draw)
        messages.append(shown(request_id, ids[0], f"u{n % 2}"))
        if clicked:
            messages.append(shown(request_id, ids[0], f"u{n % 2}", "click"))
    found = estimate(messages)
    assert found.users == 2
    assert found.served.rate == 0.5
    assert found.ranked.rate == pytest.approx(2 / (2 + 4 / 3), abs=1e-6)
    assert found.explored.rate == pytest.approx(4 / (2 + 4), abs=1e-6)
    assert found.ranked.effective == pytest.approx((2 + 4 / 3) ** 2 / (4 + 16 / 9), abs=0.05)
    assert found.lead.mean == pytest.approx(0.6 - 4 / 6, abs=1e-6)


def test_feedback_of_the_window_is_read_at_most_once_an_hour(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_module, "TIMEOUT_S", PATIENCE_S)
    now = datetime.now(UTC)
    ts = round(now.timestamp() * 1000)
    messages = list(World(0.3, 20).feedback(2))
    current = [msgspec.structs.replace(message, ts=ts) for message in messages]
    publish(broker, current, b"no feedback")
    first = read_exploration(plain(broker), "default", None, now)
    assert first is not None
    assert (first.users, first.ranked) == (USERS, estimate(messages).ranked)
    assert read_exploration(plain(broker), "nobody", None, now) is None

    publish(broker, [msgspec.structs.replace(m, ts=ts) for m in World(0.3, 20).feedback(3)])
    soon = now + ESTIMATED_EVERY / 2
    assert read_exploration(plain(broker), "default", first, soon) is first
    later = read_exploration(plain(broker), "default", first, now + 2 * ESTIMATED_EVERY)
    assert later is not None
    assert later.users == 2 * USERS
    weeks_later = now + timedelta(days=30)
    assert read_exploration(plain(broker), "default", first, weeks_later) is None
