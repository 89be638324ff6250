"""Whole runs on a real store; what those that choose choose is reported and looked for again."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from contracts.affinities import HistoryEntry
from contracts.fold_in import FoldIn
from contracts.generations import DEFAULT_VARIANT, PopularList, SimilarList, UserList
from contracts.keyspace import REPLACED_GENERATION_TTL_S
from contracts.log_position import LogPosition
from contracts.topics import COOCCURRENCES, INTERACTIONS
from tests.oracles.gram import gram_matrix
from tests.patience import eventually
from tests.trainer.setup import Affinities, Setup
from trainer.generations.publication import read_current
from trainer.generations.report import Selection
from trainer.models import cosine, ease
from trainer.run.runs import Runs
from trainer.settings import AUTO
from trainer.settings_file import changed


def selection_of(setup: Setup) -> Selection:
    selection = setup.report().selection
    assert selection is not None
    return selection


def likings(seed: int = 0, users: int = 60, items: int = 24) -> Affinities:
    """Return users of three kinds, who take some items of their kind and few others."""
    random = np.random.default_rng(seed)
    liked = np.arange(users)[:, np.newaxis] % 3 == np.arange(items) % 3
    made = (random.random((users, items)) < np.where(liked, 0.7, 0.1)) * 1.0
    made[:, :6] = 1  # as everyone does
    return made


@pytest.fixture
def choosing(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Have the trainer choose, from few candidates."""
    monkeypatch.setattr(cosine, "DAMPINGS", ((0.5, 0.5), (0.9, 0.1)))
    monkeypatch.setattr(ease, "NORMALISED", ((0.4, 0, 20),))
    return replace(
        setup, settings=changed(setup.settings, {"item_model": AUTO, "user_model": AUTO})
    )


@pytest.fixture
def chosen(choosing: Setup) -> Setup:
    """Have it chosen for users of three kinds."""
    choosing.fill(likings())
    assert choosing.run() == "trained"
    return choosing


def test_what_was_chosen_makes_the_lists_and_is_reported_with_its_accuracy(chosen: Setup) -> None:
    report = chosen.report()
    selection = selection_of(chosen)
    found = selection.found
    assert (selection.items, selection.users, selection.events) == (24, 60, 30)
    assert len(found.tried) > 4
    assert report.inputs.settings == chosen.settings.of_generation()
    made_with = changed(
        chosen.settings, {**found.values, "popular_half_life_days": 0, "repeats": 0}
    )
    assert report.settings == made_with.of_generation()
    assert AUTO not in (report.settings["item_model"], report.settings["user_model"])
    of_default = chosen.served()
    assert of_default.model == report.settings["item_model"]
    assert of_default.user_model == report.settings["user_model"]
    assert of_default.fold_in == made_with.fold_in
    similar = chosen.read(chosen.keys.model_similar(of_default.generation, "110"), SimilarList)
    assert similar.model == report.settings["item_model"]
    held_out = report.held_out
    assert held_out is not None
    assert (held_out.users, held_out.ndcg) == (found.users, found.ndcg)
    assert held_out.low < held_out.ndcg < held_out.high
    for measure in ("ndcg", "coverage", "personalization"):
        labels = {"variant": DEFAULT_VARIANT, "measure": measure}
        value = REGISTRY.get_sample_value("trainer_held_out", labels)
        assert value == getattr(held_out, measure)


def test_what_was_chosen_is_remembered_while_the_data_is_about_the_same(chosen: Setup) -> None:
    first = chosen.report()
    chosen.something_happens(events=3)  # of 30
    assert chosen.run() == "trained"
    second = chosen.report()
    assert second.generation != first.generation
    assert (second.selection, second.settings) == (first.selection, first.settings)
    assert first.held_out is not None
    assert second.held_out is not None
    assert second.held_out.ndcg == pytest.approx(first.held_out.ndcg, abs=1e-6)
    assert second.held_out.lead is None, "there is nothing to compare"
    assert "ndcg_kept" not in {rule.rule for rule in second.quality}


def test_it_looks_again_when_data_or_settings_have_changed(chosen: Setup) -> None:
    def have_more_items() -> None:
        chosen.fill(np.hstack([likings(), likings()[:, 6:9]]))
        chosen.something_happens(events=5)  # hardly more than before

    changes: list[tuple[Callable[[], None], dict[str, Any]]] = [
        (lambda: chosen.something_happens(events=4), {}),
        (have_more_items, {}),
        (lambda: None, {"neighbors_per_item": 20}),
    ]
    for change, values in changes:
        before = selection_of(chosen)
        change()
        assert chosen.run(**values) == "trained"
        assert selection_of(chosen).at > before.at


def test_a_searchs_choice_is_used_at_once_and_what_is_served_until_then(choosing: Setup) -> None:
    choosing.fill(likings())
    stop, settings = threading.Event(), choosing.settings
    runs = Runs(changed(settings, {"train_every_seconds": 1_000}), stop)
    thread = threading.Thread(target=runs.periodically)
    thread.start()
    try:
        eventually(lambda: choosing.served_generation is not None, "the first lists")
        first = choosing.report()
        eventually(lambda: choosing.served_generation != first.generation, "the choice's")
    finally:
        stop.set()
        thread.join()
    assert (first.selection, first.settings["item_model"]) == (None, "ease")
    chosen = selection_of(choosing)
    assert choosing.run() == "unchanged", "the choice is kept with the generation"
    # With other settings, nothing is chosen yet: what is served goes on, as far as these allow.
    other = changed(settings, {"neighbors_per_item": 20, "fold_in_half_life_days": 3})
    choosing.something_happens()
    Runs(other, Waits(1, lambda _: None)).periodically()
    report = choosing.report()
    assert report.selection is None
    assert report.held_out is not None
    kept = {**chosen.found.values, "fold_in_half_life_days": 3}
    kept |= {"popular_half_life_days": 0, "repeats": 0}
    assert report.settings == changed(other, kept).of_generation()


def test_lists_of_reweighted_counts_show_the_workers_counts(setup: Setup) -> None:
    made = setup.fill(likings())
    counts = gram_matrix(made)
    assert setup.run(counts_user_weight_exponent=0.5, cosine_shrinkage=2) == "trained"
    generation = setup.served().generation
    rows = made / np.sqrt(made.sum(axis=1))[:, np.newaxis]
    gram = gram_matrix(rows)
    norms, unit = np.sqrt(counts.diagonal()), counts.trace() / gram.trace()
    expected = gram * unit / (np.outer(norms, norms) + 2)
    for i in range(24):
        similar = setup.read(setup.keys.model_similar(generation, str(100 + i)), SimilarList)
        columns = [int(neighbor.item) - 100 for neighbor in similar.items]
        assert [n.score for n in similar.items] == pytest.approx(expected[i, columns], abs=1e-9)
        assert [n.support for n in similar.items] == counts[i, columns].tolist()


def test_where_users_get_no_lists_of_their_own_none_are_written(setup: Setup) -> None:
    setup.fill(likings())
    assert setup.run() == "trained"
    assert setup.report().lists.user == 60
    assert setup.run(asked=True, user_model="none") == "trained"
    of_folding_in = setup.report().held_out
    assert of_folding_in is not None
    for values in ({"user_model": "none"}, {"active_users": 0}):
        assert setup.run(asked=True, **values) == "trained"
        of_default = setup.served()
        assert of_default.user_model == "none"
        report = setup.report()
        assert report.lists.user == 0
        assert REGISTRY.get_sample_value("trainer_users") == 0
        assert report.held_out is not None
        assert report.held_out.ndcg == of_folding_in.ndcg
        assert not setup.store.exists(setup.keys.model_user(of_default.generation, "u1"))


def test_readers_get_the_fold_in_settings_and_each_variants_diversity_which_needs_no_new_search(
    setup: Setup, tmp_path: Path
) -> None:
    setup.fill(likings())
    values = {"fold_in_items": 7, "fold_in_half_life_days": 2.5, "fold_in_half_life_items": 3}
    path = tmp_path / "variants.toml"
    path.write_text("[colorful]\ndiversity = 0.4\n")
    assert setup.run(variants=path, **values) == "trained"
    assert setup.served().fold_in == FoldIn(7, 2.5, 3)
    assert [setup.served(variant).diversity for variant in ("default", "colorful")] == [0, 0.4]
    chosen = setup.report().selection
    assert setup.run(variants=path, diversity=0.2, **values) == "trained"
    assert [setup.served(variant).diversity for variant in ("default", "colorful")] == [0.2, 0.4]
    assert setup.report().selection == chosen


def test_repeats_lead_if_that_is_best_or_a_variant_says_so(setup: Setup, tmp_path: Path) -> None:
    for u, row in enumerate(setup.fill(likings())):
        items, history = np.flatnonzero(row), {}
        for place, item in enumerate(items.tolist()):
            first_ms = 1_000 if place < len(items) * 0.7 else 2_000
            entry = HistoryEntry(1, 3_000 if place < 3 else first_ms, f=first_ms)
            history[str(100 + item)] = msgspec.json.encode(entry)
        setup.store.hset(setup.history_key(f"u{u}"), mapping=history)
    path = tmp_path / "variants.toml"
    path.write_text("[few]\nrepeats = 2\n")
    assert setup.run(variants=path) == "trained"
    report = setup.report()
    assert report.held_out is not None
    found = {one.most: one.ndcg for one in report.held_out.repeats}
    assert report.settings["repeats"] == max(found, key=found.__getitem__) > 0
    served = [setup.served(variant).repeats for variant in ("default", "few")]
    assert served == [report.settings["repeats"], 2]


@pytest.fixture
def affinities(setup: Setup) -> Affinities:
    random = np.random.default_rng(0)
    made = (random.random((50, 30)) < 0.2) * 1.0
    made[:, 0], made[0, 1] = 0, 1  # nobody has item 100, u0 has something
    return setup.fill(made)


def test_user_lists_carry_the_offset_of_their_history_and_reasons_that_the_user_has(
    setup: Setup, affinities: Affinities
) -> None:
    assert setup.run() == "trained"
    generation = setup.served().generation
    for u in range(50):
        found = setup.read(setup.keys.model_user(generation, f"u{u}"), UserList)
        has = {str(100 + i) for i in np.flatnonzero(affinities[u])}
        assert (found.model, found.off) == ("user-knn", LogPosition(0, 9))
        assert found.items
        for recommended in found.items:
            assert recommended.item not in has
            assert recommended.because
            assert has.issuperset(recommended.because)


def test_the_popular_list_counts_users(setup: Setup, affinities: Affinities) -> None:
    assert setup.run() == "trained"
    found = setup.read(setup.keys.model_popular(setup.served().generation), PopularList)
    had = affinities.sum(axis=0)
    expected = sorted((-had[i], 100 + i) for i in np.flatnonzero(had))
    assert [(-p.score, int(p.item)) for p in found.items] == expected
    # However long nobody took an item: users still have it, and the list says that it has all.
    for cut, length in ({}, len(expected)), ({"popular_items": 3}, 3):
        assert setup.run(popular_half_life_days=1e-11, **cut) == "trained"
        found = setup.read(setup.keys.model_popular(setup.served().generation), PopularList)
        assert (len(found.items), found.is_whole) == (length, not cut)


def test_the_report_says_what_a_generation_is_made_of(setup: Setup, affinities: Affinities) -> None:
    assert setup.run() == "trained"
    generation, report = setup.served().generation, setup.report()
    counts = gram_matrix(affinities)
    assert (report.generation, report.fence) == (generation, 1)
    assert report.inputs.positions == {
        "interactions": [LogPosition(0, 10)] * 3,
        "cooccurrences": [LogPosition(0, 10)] * 3,
    }
    assert report.inputs.settings["neighbors_per_item"] == 200
    assert report.inputs.settings == setup.settings.of_generation()
    made_with = changed(setup.settings, {"popular_half_life_days": 0, "repeats": 0})
    assert report.settings == made_with.of_generation()
    assert report.data.items == report.lists.similar == 29
    assert report.data.users == report.lists.user == 50
    assert report.data.pairs == np.count_nonzero(np.triu(counts, 1))
    assert report.lists.similar_entries == 2 * report.data.pairs
    assert report.data.affinities == affinities.sum()
    assert report.data.items_of_one_user == (counts.diagonal() == 1).sum()
    assert datetime.fromisoformat(report.started) <= datetime.fromisoformat(report.finished)
    assert {"read counts", "rank item lists", "write user lists"} <= report.seconds.keys()


def test_a_run_is_skipped_until_counts_histories_or_settings_change(
    setup: Setup, affinities: Affinities
) -> None:
    assert [setup.run() for _ in range(3)] == ["trained", "unchanged", "unchanged"]
    for topic in (INTERACTIONS, COOCCURRENCES):
        setup.store.hincrby(setup.keys.position(topic, 2), "next", 1)
        assert [setup.run() for _ in range(2)] == ["trained", "unchanged"]
    setup.store.hincrby(setup.keys.position(INTERACTIONS, 0), "incarnation", 1)
    assert [setup.run() for _ in range(2)] == ["trained", "unchanged"]
    assert [setup.run(cosine_shrinkage=3.0) for _ in range(2)] == ["trained", "unchanged"]
    assert setup.run(cosine_shrinkage=3.0, asked=True) == "trained"


@pytest.mark.parametrize("looks", range(4))
def test_a_run_that_is_stopped_between_two_blocks_gives_up_its_generation_and_the_lock(
    setup: Setup, affinities: Affinities, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.run()
    before, stop, looked = setup.served(), threading.Event(), itertools.count()
    monkeypatch.setattr(stop, "is_set", lambda: next(looked) >= looks)
    outcome = Runs(setup.settings, stop).once(only_if_changed=False, wait_for_lock_s=0)
    assert outcome == "stopped"
    assert setup.served() == before
    assert not setup.store.exists(setup.keys.model_lock())
    for key in setup.store.scan_iter(f"{setup.keys.namespace}:model:*-2*"):
        assert 0 < setup.store.ttl(key) <= REPLACED_GENERATION_TTL_S


def test_a_run_that_loses_its_lease_publishes_nothing(
    setup: Setup, affinities: Affinities, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody renews it, and it is over before the first block is read.
    monkeypatch.setattr("trainer.run.lock.RENEWALS_PER_LEASE", 1e-6)
    monkeypatch.setattr("trainer.run.runs.LEASE_S", 0.001)
    assert setup.run() == "failed"
    assert read_current(setup.store, setup.keys) is None


def test_a_corrupt_value_is_left_out_counted_and_logged(
    setup: Setup, affinities: Affinities
) -> None:
    row, history = setup.row_key(103), setup.history_key("u7")
    setup.store.hset(row, "7", "many")
    setup.store.hset(history, "105", "[]")
    with capture_logs() as logs:
        assert setup.run() == "trained"
    generation, report = setup.served().generation, setup.report()
    assert report.n_corrupt == len(report.corrupt) == 2
    assert {problem.split(": ")[0] for problem in report.corrupt} == {row, history}
    assert REGISTRY.get_sample_value("trainer_corrupt_values") == 2
    logged = [log["problem"] for log in logs if log["log_level"] == "warning" and "problem" in log]
    assert logged == report.corrupt
    assert not setup.store.exists(setup.keys.model_user(generation, "u7"))
    assert not setup.store.exists(setup.keys.model_similar(generation, "103"))
    assert setup.store.exists(setup.keys.model_user(generation, "u8"))


class Waits(threading.Event):
    """Records the waits, runs a callback in each, and is set after some of them."""

    def __init__(self, count: int, between: Callable[[int], object]) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._count, self._between = count, between

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None and timeout > 0.5:  # else the lock's or a try's
            self.seconds.append(timeout)
            self._between(len(self.seconds))
            if len(self.seconds) == self._count:
                self.set()
        return self.is_set()


def test_reads_amid_the_first_folds_do_not_delay_the_first_lists(setup: Setup) -> None:
    setup.fill(np.zeros((0, 0)))
    counts = (np.random.default_rng(0).random((20, 10)) < 0.4) * 1.0

    def fold(n: int) -> None:
        if n > 3:
            return
        setup.fill(counts, offset=9 + n)
        for item in range(100, 110):
            row = setup.row_key(item)
            if n == 1:  # histories are folded before the counts that follow from them
                setup.store.delete(row, setup.items_key(item))
            elif n == 2:  # pairs are there and own counts are not, and the run is rejected
                setup.store.hdel(row, str(item))

    waits = Waits(5, fold)
    Runs(changed(setup.settings, {"train_every_seconds": 60}), waits).periodically()
    assert setup.served().generation
    assert waits.seconds == pytest.approx([5, 5, 10, 20, 40], abs=3)
