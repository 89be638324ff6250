"""Runs that choose by themselves: what is chosen is reported, remembered, and looked for again."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY

from contracts.affinities import HistoryEntry
from contracts.fold_in import FoldIn
from contracts.generations import DEFAULT_VARIANT, SimilarList
from tests.oracles.gram import gram_matrix
from tests.patience import eventually
from tests.trainer.run.test_runs import Waits
from tests.trainer.setup import Affinities, Setup
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
    assert second.selection == first.selection
    assert second.settings == first.settings
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


def test_what_a_search_chose_is_used_at_once_and_what_is_served_until_then(
    choosing: Setup,
) -> None:
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


def test_as_many_repeats_lead_as_predict_best_or_as_a_variant_says(
    setup: Setup, tmp_path: Path
) -> None:
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
