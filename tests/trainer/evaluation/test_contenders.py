"""A contender is what the trainer would make, of what it can know."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from trainer.evaluation.files import read_interactions
from trainer.evaluation.interactions import WorkerRules
from trainer.evaluation.preparing import prepare
from trainer.evaluation.run import contender
from trainer.evaluation.splits import temporal
from trainer.judging.holdout import Holdout
from trainer.judging.lists import NONE
from trainer.models import MODELS
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages

SETTINGS = TrainerSettings()


@pytest.fixture
def holdout(shop: Path) -> Holdout:
    return prepare(temporal(read_interactions(shop), 0.25), WorkerRules()).holdout


def test_what_auto_chooses_does_not_depend_on_what_is_to_be_found(
    holdout: Holdout, stages: Stages
) -> None:
    nothing = replace(holdout, test=csr_array(holdout.test.shape))
    chosen, other = (contender(AUTO, SETTINGS, given, stages) for given in (holdout, nothing))
    assert chosen == other
    assert chosen.found is not None
    assert chosen.settings == changed(SETTINGS, chosen.found.values)
    assert chosen.name in MODELS


def test_item_models_learn_from_counts_as_they_are_set_and_users_models_from_affinities(
    holdout: Holdout, stages: Stages
) -> None:
    weighed = changed(SETTINGS, {"counts_user_weight_exponent": 0.5})
    differs = {}
    for name in MODELS:
        plain, other = (
            contender(name, settings, holdout, stages).recommend(holdout, 10, stages)
            for settings in (SETTINGS, weighed)
        )
        differs[name] = not np.array_equal(plain.items, other.items)
    assert differs == {name: entry.of == "items" for name, entry in MODELS.items()}


def test_what_is_popular_is_recommended_as_it_is_served_however_little_old_events_weigh(
    shop: Path, stages: Stages
) -> None:
    rules = WorkerRules(affinity="greatest", half_life_days=60)
    holdout = prepare(temporal(read_interactions(shop), 0.25), rules).holdout
    settings = changed(SETTINGS, {"popular_half_life_days": 0})
    served = settings.model("popular").fit(holdout.streamed).rank(np.arange(1))
    assert served.scores.max() < 1e-100
    found = contender("popular", settings, holdout, stages).recommend(holdout, 10, stages)
    for user, items in zip(found.users.tolist(), found.items.tolist(), strict=True):
        had = holdout.train[[user]].indices
        expected = [item for item in served.columns.tolist() if item not in had][:10]
        assert [item for item in items if item != NONE] == expected
