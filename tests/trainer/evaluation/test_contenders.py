"""A contender is what the trainer would make, of what it can know."""

from dataclasses import replace
from pathlib import Path

import pytest
from scipy.sparse import csr_array

from trainer.evaluation.files import read_interactions
from trainer.evaluation.interactions import WorkerRules
from trainer.evaluation.preparing import prepare
from trainer.evaluation.run import contender
from trainer.evaluation.splits import temporal
from trainer.judging.holdout import Holdout
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
