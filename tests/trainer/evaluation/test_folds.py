"""Cross-validation by user: each fold's models know all but what the fold's users are to find."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.trainer.evaluation.test_evaluate import found_by
from trainer.evaluation.files import read_interactions
from trainer.evaluation.interactions import WorkerRules
from trainer.evaluation.measuring import by_activity, by_popularity
from trainer.evaluation.preparing import prepare
from trainer.evaluation.run import contender
from trainer.evaluation.splits import folds_of, temporal
from trainer.judging.holdout import Holdout
from trainer.judging.lists import NONE, Judged
from trainer.models import MODELS
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages

PAIRS = 60
FOLDS = 5
IN_FOLDS = ("--folds", str(FOLDS), "--model", "cosine")


@pytest.fixture
def couples(tmp_path: Path) -> Path:
    """Two users each who took the same three items in the same order, and nobody else did."""
    rows = [
        f"{hour},{who}{pair},{10 * pair + hour}"
        for pair in range(PAIRS)
        for who in "ab"
        for hour in range(3)
    ]
    file = tmp_path / "couples.csv"
    file.write_text("\n".join(["ts_ms,user_id,instrument_id", *rows]) + "\n")
    return file


def test_an_item_is_found_by_exactly_those_whose_partner_is_in_another_fold(couples: Path) -> None:
    """Where both are in one fold, nobody else has the item, so it cannot be asked for."""
    users = [f"{who}{pair}" for pair in range(PAIRS) for who in "ab"]
    fold = folds_of(np.array(users, object), FOLDS, seed=1)
    together = int((fold[::2] == fold[1::2]).sum())
    assert 0 < together < PAIRS / 2

    found = found_by("--interactions", couples, *IN_FOLDS, "--split", "last")
    (cosine,) = found["models"]
    measured = cosine["measured"]
    assert measured["users"] == 2 * (PAIRS - together)
    for name in ("ndcg", "recall", "hit_rate"):
        assert measured["metrics"][name] == {"value": 1, "low": 1, "high": 1}
    assert found["data"]["left_out"]["pairs_of_unknown_items"] == 2 * together
    assert [fold["values"]["ndcg"] for fold in measured["folds"]] == [1] * FOLDS
    assert sum(fold["users"] for fold in measured["folds"]) == measured["users"]


def test_the_figures_are_those_of_all_users_with_the_mean_of_each_fold(shop: Path) -> None:
    (cosine,) = found_by("--interactions", shop, *IN_FOLDS)["models"]
    measured = cosine["measured"]
    folds = measured["folds"]
    for name in ("ndcg", "map", "novelty"):
        estimate = measured["metrics"][name]
        weights = [fold["users"] for fold in folds]
        mean = np.average([fold["values"][name] for fold in folds], weights=weights)
        assert estimate["value"] == pytest.approx(mean)
        assert estimate["low"] < estimate["value"] < estimate["high"]


def test_groups_of_items_have_their_shares_and_groups_of_users_their_means() -> None:
    items = np.array([[0, 99], [1, NONE]])
    judged = Judged(items, items == 99, np.ones(2, np.int64), csr_array((2, 100)))
    learned, consumed = 200 - np.arange(100), np.arange(100) == 99
    groups = by_popularity(learned, consumed.astype(np.int64), judged)
    assert [group.recommended for group in groups] == pytest.approx([1 / 3, 1 / 3, 0, 0, 1 / 3])
    assert [group.consumed for group in groups] == [0, 0, 0, 0, 1]
    assert groups[1].learned == pytest.approx((199 + 198 + 197 + 196) / learned.sum())
    active = by_activity({"ndcg": np.array([0.25, 0.75, 1, 0])}, np.array([1, 2, 30, 40]))
    assert [(of.least_items, of.most_items, of.users) for of in active] == [
        (1, 2, 2),
        (30, 30, 1),
        (40, 40, 1),
    ]
    assert [of.values["ndcg"] for of in active] == [0.5, 1, 0]


SETTINGS = TrainerSettings()


@pytest.fixture
def holdout(shop: Path) -> Holdout:
    return prepare(temporal(read_interactions(shop), 0.25), WorkerRules()).holdout


def test_auto_does_not_choose_by_what_is_to_be_found(holdout: Holdout, stages: Stages) -> None:
    nothing = replace(holdout, test=csr_array(holdout.test.shape))
    chosen, other = (contender(AUTO, SETTINGS, given, stages) for given in (holdout, nothing))
    assert chosen == other
    assert chosen.found is not None
    assert chosen.settings == changed(SETTINGS, chosen.found.values)
    assert chosen.name in MODELS
