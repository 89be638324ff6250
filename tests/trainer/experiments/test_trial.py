"""A new generation on trial: who waits, what it is judged by, and what becomes of it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts.generations import DEFAULT_VARIANT, SimilarList
from contracts.keyspace import REPLACED_GENERATION_TTL_S, HistoryEntry, Keyspace
from contracts.partitioning import user_partition
from contracts.pointer import rolled_back
from contracts.topics import INTERACTIONS
from contracts.variants import in_canary
from infra.local.process import free_port
from runtime.kafka.config import plain
from runtime.redis.stores import Store
from tests.trainer.conftest import PARTITIONS, Fill
from tests.trainer.runs import current_of, run
from trainer.experiments import clicks
from trainer.generations.decisions import read_decisions, read_report, read_standing
from trainer.generations.publication import change_current
from trainer.run import runs as runs_module
from trainer.settings import TrainerSettings

USERS = 40


@pytest.fixture
def settings(
    settings: TrainerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TrainerSettings:
    """Rules that judge a canary by lists after half an hour; nothing listens at Kafka's address."""
    monkeypatch.setattr(clicks, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(clicks, "PAUSE_S", 0)
    path = tmp_path / "canary.toml"
    path.write_text(
        "share = 0.5\nminutes = 30\nminutes_most = 300\nrest_minutes = 30\n"
        "[holdout]\nusers_least = 5\n"
    )
    return settings.model_copy(
        update={
            "canary_rules": path,
            "keep_generations": 1,
            "kafka": plain(f"127.0.0.1:{free_port()}"),
        }
    )


class Clock:
    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def forward(self, minutes: float) -> None:
        self.time += timedelta(minutes=minutes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(runs_module, "_now", made)
    return made


def something_happens(store: Store, keyspace: Keyspace) -> None:
    """So that there is something new to be trained on."""
    store.hincrby(keyspace.position(INTERACTIONS, 0), "next", 1)


def everyone_takes(store: Store, keyspace: Keyspace, item: int, ts_ms: int) -> None:
    for n in range(USERS):
        partition = user_partition(f"u{n}", PARTITIONS)
        entry = msgspec.json.encode(HistoryEntry(1, ts_ms))
        store.hset(keyspace.history(partition, f"u{n}"), str(item), entry)
        store.zadd(keyspace.active(partition), {f"u{n}": ts_ms})


def spoil(store: Store, keyspace: Keyspace, generation: str) -> None:
    """Empty the lists of a generation, as a fault on the way to Redis might."""
    for key in store.scan_iter(keyspace.model_similar(generation, "*")):
        store.set(key, msgspec.json.encode(SimilarList("cosine", [])))


@pytest.fixture
def on_trial(
    store: Store, keyspace: Keyspace, settings: TrainerSettings, fill: Fill, clock: Clock
) -> tuple[str, str]:
    """A served generation and a canary; item 103 is similar to all, and nobody has it."""
    affinities = np.ones((USERS + 5, 4))
    affinities[:USERS, 3] = 0
    fill(affinities)
    assert run(settings) == "trained"
    something_happens(store, keyspace)
    assert run(settings) == "trained"
    current = current_of(store, keyspace)
    assert current.canary is not None
    return current.variants[DEFAULT_VARIANT].generation, current.canary.served.generation


def test_the_first_generation_is_served_to_all_and_the_next_one_to_some(
    store: Store, keyspace: Keyspace, on_trial: tuple[str, str]
) -> None:
    served, canary = on_trial
    assert served != canary
    current = current_of(store, keyspace)
    assert current.canary is not None
    assert current.canary.share == 0.5
    decided = [(d.generation, d.what, d.by) for d in read_decisions(store, keyspace)]
    assert decided == [(canary, "on trial", "rules"), (served, "published", "rules")]


def test_nothing_is_trained_while_a_canary_is_on_trial(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    on_trial: tuple[str, str],
    clock: Clock,
) -> None:
    before = current_of(store, keyspace)
    something_happens(store, keyspace)
    clock.forward(29)
    assert run(settings) == "on trial"
    assert current_of(store, keyspace) == before


def test_interim_results_are_noted_now_and_then_and_decide_nothing(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    on_trial: tuple[str, str],
    clock: Clock,
) -> None:
    _, canary = on_trial
    before = current_of(store, keyspace)
    assert before.canary is not None
    since_ms = before.canary.since_ms
    spoil(store, keyspace, canary)
    assert run(settings) == "on trial"
    first = read_standing(store, keyspace)
    assert first is not None
    assert (first.generation, first.enough) == (canary, False)
    assert (first.due_ms, first.until_ms) == (since_ms + 30 * 60_000, since_ms + 300 * 60_000)
    assert first.figures == {"holdout_users_served": 0, "holdout_users_canary": 0}

    everyone_takes(store, keyspace, 103, round(clock.time.timestamp() * 1000))
    clock.forward(2)
    assert run(settings) == "on trial"
    assert read_standing(store, keyspace) == first
    clock.forward(2)
    assert run(settings) == "on trial"
    second = read_standing(store, keyspace)
    assert second is not None
    assert second.enough
    assert (second.figures["ndcg_served"], second.figures["ndcg_canary"]) == (1, 0)
    assert current_of(store, keyspace) == before


def test_an_operators_run_does_not_measure_a_canary_that_it_replaces(
    store: Store, keyspace: Keyspace, settings: TrainerSettings, on_trial: tuple[str, str]
) -> None:
    assert run(settings, only_if_changed=False) == "trained"
    canary = current_of(store, keyspace).canary
    assert canary is not None
    assert canary.served.generation not in on_trial
    assert read_standing(store, keyspace) is None


def test_a_canary_that_is_no_worse_is_promoted_and_the_next_one_follows(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    on_trial: tuple[str, str],
    clock: Clock,
) -> None:
    served, canary = on_trial
    clock.forward(31)
    everyone_takes(store, keyspace, 103, round(clock.time.timestamp() * 1000))
    something_happens(store, keyspace)
    assert run(settings) == "trained"
    current = current_of(store, keyspace)
    assert current.variants[DEFAULT_VARIANT].generation == canary
    assert [kept.generation for kept in current.previous] == [served]
    assert current.canary is not None
    latest, promoted = read_decisions(store, keyspace, 2)
    assert (latest.what, promoted.what, promoted.generation) == ("on trial", "promoted", canary)
    on_canary = sum(in_canary(f"u{n}", canary, 0.5) for n in range(USERS))
    assert promoted.figures == {
        "holdout_users_served": USERS - on_canary,
        "holdout_users_canary": on_canary,
        "ndcg_served": 1,
        "ndcg_canary": 1,
        "ndcg_p": 1,
    }
    report = read_report(store, keyspace, canary)
    assert report is not None
    assert [decision.what for decision in report.decisions] == ["on trial", "promoted"]


def test_a_canary_with_worse_lists_is_rolled_back_and_the_trainer_rests(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    on_trial: tuple[str, str],
    clock: Clock,
) -> None:
    served, canary = on_trial
    spoil(store, keyspace, canary)
    clock.forward(31)
    everyone_takes(store, keyspace, 103, round(clock.time.timestamp() * 1000))
    something_happens(store, keyspace)
    assert run(settings) == "resting"
    current = current_of(store, keyspace)
    assert (current.variants[DEFAULT_VARIANT].generation, current.canary) == (served, None)
    assert store.ttl(keyspace.model_popular(served)) == -1
    assert 0 < store.ttl(keyspace.model_popular(canary)) <= REPLACED_GENERATION_TTL_S
    assert 0 < store.ttl(keyspace.model_report(canary)) <= REPLACED_GENERATION_TTL_S
    decision = read_decisions(store, keyspace, 1)[0]
    assert (decision.generation, decision.what) == (canary, "rolled back")
    assert decision.why == f"nDCG@10 0.0000 for 1.0000 served, of {USERS} users"

    clock.forward(29)
    assert run(settings) == "resting"
    clock.forward(2)
    assert run(settings) == "trained"
    assert current_of(store, keyspace).canary is not None


def test_a_canary_with_too_little_data_stays_on_trial_until_there_is_enough(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    on_trial: tuple[str, str],
    clock: Clock,
) -> None:
    _, canary = on_trial
    before = current_of(store, keyspace)
    something_happens(store, keyspace)
    for minutes in (31, 268):
        clock.forward(minutes)
        assert run(settings) == "on trial"
        assert current_of(store, keyspace) == before
    everyone_takes(store, keyspace, 103, round(clock.time.timestamp() * 1000))
    assert run(settings) == "trained"
    assert current_of(store, keyspace).variants[DEFAULT_VARIANT].generation == canary


def test_a_canary_that_never_gets_enough_data_is_withdrawn_and_the_next_one_follows(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    on_trial: tuple[str, str],
    clock: Clock,
) -> None:
    served, canary = on_trial
    spoil(store, keyspace, canary)  # which nobody can know
    clock.forward(301)
    something_happens(store, keyspace)
    assert run(settings) == "trained"
    current = current_of(store, keyspace)
    assert current.variants[DEFAULT_VARIANT].generation == served
    assert current.canary is not None
    assert current.canary.served.generation != canary
    assert 0 < store.ttl(keyspace.model_popular(canary)) <= REPLACED_GENERATION_TTL_S
    latest, decided = read_decisions(store, keyspace, 2)
    assert latest.what == "on trial"
    assert (decided.what, decided.generation, decided.by) == ("withdrawn", canary, "rules")
    assert decided.why == (
        "too little was seen to say; 0 of 5 users of the canary and 0 others did anything new; "
        "feedback could not be read"
    )


def test_rules_that_need_no_evidence_promote_without_any(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    on_trial: tuple[str, str],
    clock: Clock,
) -> None:
    _, canary = on_trial
    assert settings.canary_rules is not None
    rules = settings.canary_rules.read_text()
    settings.canary_rules.write_text(f"needs = 0\n{rules}")
    clock.forward(31)
    something_happens(store, keyspace)
    assert run(settings) == "trained"
    assert current_of(store, keyspace).variants[DEFAULT_VARIANT].generation == canary


def test_nothing_is_trained_after_an_operator_rolled_back(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    on_trial: tuple[str, str],
    clock: Clock,
) -> None:
    change_current(store, keyspace, rolled_back)
    something_happens(store, keyspace)
    clock.forward(1_000)
    assert run(settings) == "held"
    assert run(settings, only_if_changed=False) == "trained"
    current = current_of(store, keyspace)
    assert (current.held, current.canary is not None) == (False, True)


def test_a_decision_preceded_by_another_one_is_dropped(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    on_trial: tuple[str, str],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served, _ = on_trial
    clock.forward(31)
    everyone_takes(store, keyspace, 103, round(clock.time.timestamp() * 1000))

    def interfere(*_: object) -> None:
        change_current(store, keyspace, rolled_back)

    monkeypatch.setattr("trainer.experiments.trial.read_clicks", interfere)
    run(settings)
    current = current_of(store, keyspace)
    assert current.variants[DEFAULT_VARIANT].generation == served
    assert "promoted" not in {decision.what for decision in read_decisions(store, keyspace)}


def test_bad_data_is_rejected_noted_once_and_what_is_served_stays(
    store: Store, keyspace: Keyspace, settings: TrainerSettings, on_trial: tuple[str, str]
) -> None:
    before = current_of(store, keyspace)
    for key in list(store.scan_iter(f"{keyspace.namespace}:cooc:*"))[:2]:
        for field in store.hkeys(key):
            if field != "off":
                store.hset(key, field, "0.5")
    for _ in range(2):
        assert run(settings, only_if_changed=False) == "rejected"
    after = current_of(store, keyspace)
    assert (after.variants, after.canary) == (before.variants, before.canary)
    rejected = [d for d in read_decisions(store, keyspace) if d.what == "rejected"]
    assert len(rejected) == 1
    assert "unmatched" in rejected[0].why


def test_what_was_checked_is_in_the_report(
    store: Store, keyspace: Keyspace, on_trial: tuple[str, str]
) -> None:
    for generation in on_trial:
        stored = json.loads(str(store.get(keyspace.model_report(generation))))
        rules = {rule["rule"]: rule for rule in stored["quality"]}
        assert rules["unmatched"]["holds"]
        assert rules["items_kept"]["value"] == 1
        assert rules["popularity_shift"]["value"] == 0
