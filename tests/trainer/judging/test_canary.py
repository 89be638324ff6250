"""A new generation on trial: who waits, what it is judged by, and what becomes of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from contracts.affinities import HistoryEntry
from contracts.generations import Decision, PopularList, SimilarList
from contracts.keyspace import REPLACED_GENERATION_TTL_S
from contracts.pointer import in_canary, rolled_back
from contracts.times import MINUTE_MS
from infra.local.process import free_port
from runtime.kafka.config import plain
from tests.trainer.setup import Setup
from trainer.generations.decisions import note, read_report
from trainer.generations.publication import change_current
from trainer.judging import feedback
from trainer.run import runs as runs_module
from trainer.settings import TrainerSettings

USERS = 40
RULES = """\
share = 0.5
minutes = 30
rest_minutes = 30
users_least = 5
"""


@pytest.fixture
def settings(
    settings: TrainerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TrainerSettings:
    """Rules that judge a canary by lists after half an hour; nothing listens at Kafka's address."""
    monkeypatch.setattr(feedback, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(feedback, "PAUSE_S", 0)
    path = tmp_path / "canary.toml"
    path.write_text(RULES)
    kafka = plain(f"127.0.0.1:{free_port()}")
    changes = {"canary_rules": path, "keep_generations": 1, "kafka": kafka, "user_model": "none"}
    return settings.model_copy(update=changes)


class Clock:
    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def forward(self, minutes: float) -> None:
        self.time += timedelta(minutes=minutes)


@dataclass(frozen=True)
class OnTrial(Setup):
    """A served generation and a canary; item 103 is similar to all, and nobody has it.

    Nobody has a list of their own.
    """

    clock: Clock
    served_id: str
    canary_id: str

    def everyone_takes_103(self) -> None:
        ts_ms = round(self.clock.time.timestamp() * 1000)
        for user in (f"u{n}" for n in range(USERS)):
            entry = msgspec.json.encode(HistoryEntry(1, ts_ms))
            self.store.hset(self.history_key(user), "103", entry)
            self.store.zadd(self.active_key(user), {user: ts_ms})

    def spoil_canary(self) -> None:
        """Empty its lists, as a fault on the way to Redis might."""
        for key in self.store.scan_iter(self.keys.model_similar(self.canary_id, "*")):
            self.store.set(key, msgspec.json.encode(SimilarList("cosine", [])))
        popular = msgspec.json.encode(PopularList("popular", []))
        self.store.set(self.keys.model_popular(self.canary_id), popular, keepttl=True)

    def canary_ends_soon(self) -> bool:
        keys = (self.keys.model_popular(self.canary_id), self.keys.model_report(self.canary_id))
        return all(0 < self.store.ttl(key) <= REPLACED_GENERATION_TTL_S for key in keys)


@pytest.fixture
def trial(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> OnTrial:
    clock = Clock()
    monkeypatch.setattr(runs_module, "_now", clock)
    affinities = np.ones((USERS + 5, 4))
    affinities[:USERS, 3] = 0
    setup.fill(affinities)
    assert setup.run() == "trained"
    setup.something_happens()
    assert setup.run() == "trained"
    canary = setup.current.canary
    assert canary is not None
    served = setup.served().generation
    return OnTrial(**vars(setup), clock=clock, served_id=served, canary_id=canary.served.generation)


def what_became_of(decision: Decision) -> tuple[str, str, str]:
    return decision.generation, decision.what, decision.by


def test_the_first_generation_is_for_all_and_the_next_for_some_for_a_while(trial: OnTrial) -> None:
    assert trial.served_id != trial.canary_id
    assert trial.current.canary is not None
    canary = trial.current.canary
    assert (canary.share, canary.until_ms - canary.since_ms) == (0.5, 30 * MINUTE_MS)
    assert [what_became_of(decision) for decision in trial.decisions()] == [
        (trial.canary_id, "on trial", "rules"),
        (trial.served_id, "published", "rules"),
    ]
    before = trial.current
    trial.something_happens()
    trial.clock.forward(29)
    assert trial.run() == "on trial"
    assert trial.current == before


def test_an_operators_run_replaces_a_canary_whose_period_is_not_over(trial: OnTrial) -> None:
    assert trial.run(asked=True) == "trained"
    canary = trial.current.canary
    assert canary is not None
    assert canary.served.generation not in (trial.served_id, trial.canary_id)
    assert {decision.what for decision in trial.decisions()} == {"published", "on trial"}


def test_a_canary_that_is_no_worse_is_promoted_and_the_next_one_follows(trial: OnTrial) -> None:
    trial.clock.forward(31)
    trial.everyone_takes_103()
    trial.something_happens()
    assert trial.run() == "trained"
    assert trial.served().generation == trial.canary_id
    assert [kept.generation for kept in trial.current.previous] == [trial.served_id]
    assert trial.current.canary is not None
    latest, promoted = trial.decisions()[:2]
    assert latest.what == "on trial"
    assert what_became_of(promoted) == (trial.canary_id, "promoted", "rules")
    on_canary = sum(in_canary(f"u{n}", trial.canary_id, 0.5) for n in range(USERS))
    assert promoted.figures == {
        "ndcg_users": on_canary,
        "ndcg_users_default": USERS - on_canary,
        "ndcg_mean": 1,
        "ndcg_mean_default": 1,
        "ndcg_low": 0,
        "ndcg_high": 0,
    }
    report = read_report(trial.store, trial.keys, trial.canary_id)
    assert report is not None
    assert [decision.what for decision in report.decisions] == ["on trial", "promoted"]


def test_a_canary_with_worse_lists_is_rolled_back_and_the_trainer_rests(trial: OnTrial) -> None:
    trial.spoil_canary()
    trial.clock.forward(31)
    trial.everyone_takes_103()
    trial.something_happens()
    assert trial.run() == "resting"
    assert (trial.served().generation, trial.current.canary) == (trial.served_id, None)
    assert trial.store.ttl(trial.keys.model_popular(trial.served_id)) == -1
    assert trial.canary_ends_soon()
    decision = trial.decisions()[0]
    assert what_became_of(decision) == (trial.canary_id, "rolled back", "rules")
    assert decision.why.startswith("nDCG@10 0.0000 of ")
    assert decision.why.endswith(" of the default variant: -1.0000 (-1.0000 .. -1.0000)")

    trial.clock.forward(29)
    compared = replace(decision, generation="g", variant="steep", what="compared")
    note(trial.store, trial.keys, compared)  # an experiment ended
    assert trial.run() == "resting"
    trial.clock.forward(2)
    assert trial.run() == "trained"
    assert trial.current.canary is not None


def test_a_canary_whose_users_did_too_little_is_withdrawn_for_the_next(trial: OnTrial) -> None:
    trial.spoil_canary()  # which nobody can know
    trial.clock.forward(31)
    trial.something_happens()
    assert trial.run() == "trained"
    assert trial.served().generation == trial.served_id
    assert trial.current.canary is not None
    assert trial.current.canary.served.generation != trial.canary_id
    assert trial.canary_ends_soon()
    latest, decided = trial.decisions()[:2]
    assert latest.what == "on trial"
    assert what_became_of(decided) == (trial.canary_id, "withdrawn", "rules")
    assert decided.why == (
        "too few users to compare, where 5 are needed: fewer than two users took anything new"
    )


def rules_of(trial: OnTrial, text: str) -> None:
    assert trial.settings.canary_rules is not None
    trial.settings.canary_rules.write_text(text)


def test_clicks_decide_only_if_a_rule_says(trial: OnTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    def clicks(*_: object) -> dict[str, np.ndarray]:
        return {"default": np.tile([0.9, 1.0], 20), "canary": np.tile([0.1, 0.2], 20)}

    monkeypatch.setattr("trainer.judging.comparison.read_feedback", clicks)
    trial.everyone_takes_103()
    trial.clock.forward(31)
    before = trial.current
    assert trial.run() == "unchanged"
    assert trial.served().generation == trial.canary_id
    promoted = trial.decisions()[0]
    assert promoted.figures["clicks_mean"] == pytest.approx(0.15)
    assert "clicks per list 0.1500 of 40 users" in promoted.why

    for users, what in ((40, "rolled back"), (41, "withdrawn")):
        trial.store.set(trial.keys.model_current(), msgspec.json.encode(before))
        rules_of(trial, f"{RULES}[clicks]\nusers_least = {users}")
        trial.run()
        decision = next(d for d in trial.decisions() if d.generation == trial.canary_id)
        assert decision.what == what


def test_nothing_is_trained_after_an_operator_rolled_back(trial: OnTrial) -> None:
    change_current(trial.store, trial.keys, rolled_back)
    trial.something_happens()
    trial.clock.forward(1_000)
    assert trial.run() == "held"
    assert trial.run(asked=True) == "trained"
    assert (trial.current.held, trial.current.canary is not None) == (False, True)


def test_a_decision_preceded_by_another_one_is_dropped(
    trial: OnTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.clock.forward(31)
    trial.everyone_takes_103()

    def interfere(*_: object) -> None:
        change_current(trial.store, trial.keys, rolled_back)

    monkeypatch.setattr("trainer.judging.comparison.read_feedback", interfere)
    trial.run()
    assert trial.served().generation == trial.served_id
    assert "promoted" not in {decision.what for decision in trial.decisions()}
