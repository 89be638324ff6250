"""`python -m trainer tune`: it goes on where it was ended, and what it writes sets the trainer."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from scipy.sparse import csr_array
from typer.testing import CliRunner

from tests.patience import eventually
from trainer.__main__ import app
from trainer.evaluation.interactions import Splitting
from trainer.evaluation.question import Question
from trainer.evaluation.worker import WorkerRules
from trainer.judging.holdout import Holdout
from trainer.judging.recommending import Recommended, from_popular
from trainer.models import MODELS
from trainer.models.interface import Values
from trainer.settings import TrainerSettings
from trainer.settings_file import changed, flat, read_settings_file
from trainer.tuning.run import run, settings_of
from trainer.tuning.search import Best, Search
from trainer.tuning.space import Space, space_of
from trainer.tuning.tunable import TunableModel


def arguments(shop: Path, tmp_path: Path, trials: int, *models: str) -> list[str]:
    return [
        *("tune", "--interactions", str(shop), "--trials", str(trials), "--n", "3"),
        *("--storage", str(tmp_path / "tune.journal"), "--out", str(tmp_path / "best.toml")),
        *(argument for model in models for argument in ("--model", model)),
    ]


def tune(shop: Path, tmp_path: Path, trials: int, *models: str, set_to: str = "") -> str:
    """Return what the command prints."""
    set_ = ["--set", set_to] if set_to else []
    result = CliRunner().invoke(app, [*arguments(shop, tmp_path, trials, *models), *set_])
    assert result.exit_code == 0, result.output
    return result.stdout


def trials_in(journal: Path) -> list[optuna.trial.FrozenTrial]:
    if not journal.exists():
        return []
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return [
        trial
        for study in optuna.get_all_study_summaries(storage)
        for trial in optuna.load_study(study_name=study.study_name, storage=storage).trials
        if trial.state == TrialState.COMPLETE
    ]


def test_a_second_run_goes_on_from_the_first_one(shop: Path, tmp_path: Path) -> None:
    journal = tmp_path / "tune.journal"
    for trials in (2, 4, 4):
        tune(shop, tmp_path, trials, "cosine")
        assert len(trials_in(journal)) == trials
    values = [trial.params["cosine_popularity_damping"] for trial in trials_in(journal)]
    assert len(set(values)) == 4


@pytest.mark.slow
def test_what_was_tried_before_a_kill_is_not_tried_again(shop: Path, tmp_path: Path) -> None:
    journal = tmp_path / "tune.journal"
    many = arguments(shop, tmp_path, 500, "cosine")
    with subprocess.Popen([sys.executable, "-m", "trainer", *many]) as process:
        try:
            eventually(lambda: len(trials_in(journal)) > 2, "some trials", every_s=0.1)
        finally:
            process.kill()
    before = len(trials_in(journal))
    tune(shop, tmp_path, before + 1, "cosine")
    assert len(trials_in(journal)) == before + 1


def test_what_is_set_is_tried_first_so_the_best_is_no_worse(shop: Path, tmp_path: Path) -> None:
    tune(shop, tmp_path, 1, "cosine")
    (first,) = trials_in(tmp_path / "tune.journal")
    assert first.params["cosine_popularity_damping"] == 0.5
    assert first.params["neighbors_per_item"] == 200
    assert first.params["cosine_shrinkage"] == 0
    assert first.params["counts_half_life_days"] == 36_500  # as near to endless as may be


def test_the_file_that_is_written_sets_the_trainer(shop: Path, tmp_path: Path) -> None:
    assert "cosine, tuned" in tune(shop, tmp_path, 2, "cosine", "user-knn")
    out = tmp_path / "best.toml"
    assert "# Made by `python -m trainer tune`" in out.read_text()
    values = read_settings_file(out, TrainerSettings)
    assert values["item_model"] == "cosine"
    assert changed(TrainerSettings(), values).item_model == "cosine"


def test_every_setting_that_is_searched_is_one_and_may_have_every_value_that_is_tried() -> None:
    for model in MODELS:
        for name, allowed in space_of(model).items():
            for value in (allowed.low, allowed.high):  # type: ignore[attr-defined]
                assert (
                    flat(changed(TrainerSettings(), {name: value}).of_generation())[name] == value
                )


def test_users_get_no_lists_of_their_own_where_these_predict_worse() -> None:
    best = {
        "cosine": Best(0.3, {"neighbors_per_item": 9}),
        "user-knn": Best(0.2, {"user_knn_k": 7}),
    }
    assert settings_of(best)["user_model"] == "none"
    best["user-knn"] = Best(0.4, {"user_knn_k": 7})
    assert settings_of(best) == {
        "user_knn_k": 7,
        "user_model": "user-knn",
        "item_model": "cosine",
        "neighbors_per_item": 9,
    }


@dataclass
class Spy:
    """Notes what it is asked to recommend from."""

    name: str = "spy"
    space: Space = field(default_factory=lambda: {"x": FloatDistribution(0, 1)})
    fixed: Values = field(default_factory=dict)
    asked: list[Holdout] = field(default_factory=list)

    def values(self, changed: Values) -> Values:
        return {"x": 0.5} | changed

    def recommend(self, changed: Values, holdout: Holdout, n: int) -> Recommended:
        self.asked.append(holdout)
        return from_popular(holdout, csr_array(np.ones((1, holdout.train.shape[1]))), n)


def test_runs_with_other_settings_that_are_not_searched_do_not_mix(
    shop: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "tune.journal"
    for set_to in ("fold_in_items=3", "fold_in_items=4", "cosine_popular_removed=1"):
        before = len(trials_in(journal))
        tune(shop, tmp_path, 2, "cosine", set_to=set_to)
        assert len(trials_in(journal)) == before + 2


def test_what_is_searched_is_not_what_is_fixed() -> None:
    for name in (name for name, entry in MODELS.items() if entry.is_tuned):
        model = TunableModel(name, TrainerSettings())
        assert not model.fixed.keys() & model.space.keys()
        assert (
            model.fixed.keys() | model.space.keys()
            == flat(TrainerSettings().of_generation()).keys()
        )
        assert model.values({}).keys() == model.space.keys()


def test_the_search_sees_nothing_of_what_is_to_be_found_in_the_end(
    shop: Path, tmp_path: Path
) -> None:
    spy = Spy()
    question = Question(shop, None, None, Splitting.TEMPORAL, 0.25, 1)
    run(question, WorkerRules(), [spy], Search(tmp_path / "journal", 3, 4, 1))
    *searched, as_set, tuned = spy.asked
    assert len(searched) == 4
    assert as_set is tuned
    pairs = {holdout.train.nnz + holdout.test.nnz for holdout in searched}
    assert pairs.pop() <= tuned.train.nnz
    assert not pairs
