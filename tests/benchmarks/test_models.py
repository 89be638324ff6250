"""What `models` says rests on both lists of each user."""

import numpy as np
from scipy.sparse import csr_array

from benchmarks.models import Standings, leads, report
from tests.benchmarks.reported import shown
from tests.trainer.evaluation.made import holdout_of
from trainer.evaluation.measuring import judge_fold, measure_folds
from trainer.evaluation.preparing import LeftOut
from trainer.evaluation.result import Data, Evaluation, OfModel
from trainer.judging.lists import NONE, Recommended

USERS, ITEMS = 40, 12


def standings(found: dict[str, int]) -> Standings:
    """Results of models that find the only item of so many of the users."""
    nothing = csr_array((USERS, ITEMS))
    train = nothing + csr_array(np.eye(USERS, ITEMS))
    wanted = csr_array(np.eye(USERS, ITEMS, k=1) + np.eye(USERS, ITEMS, k=ITEMS - USERS))
    holdout = holdout_of(train.toarray(), wanted.toarray())
    ndcg, models = {}, []
    for model, hits in found.items():
        items = np.full((len(holdout.judged), 10), NONE)
        right = wanted[holdout.judged].argmax(axis=1)
        items[:hits, 0] = np.asarray(right).ravel()[:hits]
        recommended = Recommended(holdout.judged, items, np.where(items == NONE, 0.0, 1.0))
        columns = np.arange(holdout.train.shape[1])
        measured = measure_folds([judge_fold(holdout, recommended, columns)])
        models.append(OfModel(model, {}, {"recommend": 1.5}, measured))
        ndcg[model] = np.where(np.arange(len(items)) < hits, 1.0, 0.0)
    data = Data("a file", 1, USERS, ITEMS, 1, len(holdout.judged), 1, LeftOut(0, 0, 0, 0))
    return Standings(Evaluation(data, 1, models), ndcg)


FOUND = {"popular": 1, "auto": 9, "user-knn": 11, "ease": 9, "cosine": 2}


def test_ahead_is_only_what_is_ahead_with_other_users_too() -> None:
    found = standings(FOUND)
    assert (leads(found)["ease"].mean, leads(found)["ease"].error) == (0, 0)
    printed = shown(report(found, n=10))
    assert "auto: ahead of cosine in nDCG@10 by 0.3" in printed
    assert "auto: not surely ahead of ease in nDCG@10 by 0.0000" in printed
    for title in ("nDCG@10", "MAP@10", "precision", "novelty"):
        assert title in printed
