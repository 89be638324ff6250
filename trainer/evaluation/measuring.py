"""From lists to figures. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints
from trainer.evaluation.bootstrap import intervals, point_values
from trainer.evaluation.groups import ActivityGroup, PopularityGroup, by_activity, by_popularity
from trainer.evaluation.metrics import NAMES, OF_A_LIST
from trainer.judging.holdout import Holdout
from trainer.judging.metrics import Judged, judge
from trainer.judging.recommending import NONE, Recommended


class NobodyError(ValueError):
    """Nobody has anything to be found, so nothing can be measured."""


class Estimate(msgspec.Struct, frozen=True):
    """A measure; None where no list has a value, e.g. the similarity within lists of one item."""

    value: float | None
    low: float | None
    """of the 95 % confidence interval"""
    high: float | None


class FoldMeans(msgspec.Struct, frozen=True):
    """The measures over the users of one fold."""

    users: int
    values: dict[str, float | None]


class Measured(msgspec.Struct, frozen=True):
    """How good the lists of a model are."""

    n: int
    """length of a full list"""
    users: int
    """who were judged: those with something to be found"""
    metrics: dict[str, Estimate]
    """by the names in `trainer.evaluation.metrics`"""
    by_activity: list[ActivityGroup]
    by_popularity: list[PopularityGroup]
    folds: list[FoldMeans] = []
    """of a cross-validation"""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedFold:
    """A model's lists for one hold-out, judged on it."""

    judged: Judged
    of_lists: dict[str, Floats]
    """measure -> (m,) its value of each list, by what was learned from in this fold"""
    had: Ints
    """(m,) how many items each user had"""
    learned: Ints
    """(n_items,) how many users had each item"""
    consumed: Ints
    """(n_items,) by how many users each was to be found"""
    items: Ints
    """(n_items,) ids, ascending"""


def judge_fold(holdout: Holdout, recommended: Recommended, items: Ints) -> JudgedFold:
    """Return the lists of one hold-out, whose columns stand for `items`, with their values."""
    judged, n_items = judge(holdout, recommended), len(items)
    return JudgedFold(
        judged,
        {name: of_a_list(judged) for name, of_a_list in OF_A_LIST.items()},
        np.diff(holdout.train.indptr)[recommended.users],
        np.bincount(holdout.train.indices, minlength=n_items),
        np.bincount(holdout.test.indices, minlength=n_items),
        items,
    )


def measure_folds(folds: Sequence[JudgedFold], seed: int = 0) -> Measured:
    """Return how good the lists of all folds together are, and those of each.

    A user's list has the value that it has in its fold. Coverage and personalization are of all
    lists together, of the items that any fold learned from.

    Raises:
        NobodyError: there are no lists.
    """
    whole = _pooled(folds)
    judged, of_lists = whole.judged, whole.of_lists
    if not len(judged.items):
        raise NobodyError("no user has an item to be found: take more test events")
    values, spread = point_values(of_lists, judged), intervals(of_lists, judged, seed)
    return Measured(
        n=judged.n,
        users=len(judged.items),
        metrics={
            name: Estimate(*(_known(v) for v in (values[name], *spread[name]))) for name in NAMES
        },
        by_activity=by_activity(of_lists, whole.had),
        by_popularity=by_popularity(whole.learned, whole.consumed, judged),
        folds=[_means(fold) for fold in folds] if len(folds) > 1 else [],
    )


def _pooled(folds: Sequence[JudgedFold]) -> JudgedFold:
    """Return the folds as one, over the items of any of them."""
    if len(folds) == 1:
        return folds[0]
    items = np.unique(np.concatenate([fold.items for fold in folds]))
    lists, learned, consumed = [], np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
    for fold in folds:
        columns = np.searchsorted(items, fold.items)
        learned[columns] += fold.learned
        consumed[columns] += fold.consumed
        judged = fold.judged
        lists.append(np.where(judged.filled, columns[judged.items], NONE))
    judged = Judged(
        np.concatenate(lists),
        np.concatenate([fold.judged.hits for fold in folds]),
        np.concatenate([fold.judged.relevant for fold in folds]),
        csr_array((1, len(items))),
    )
    of_lists = {name: np.concatenate([fold.of_lists[name] for fold in folds]) for name in OF_A_LIST}
    had = np.concatenate([fold.had for fold in folds])
    return JudgedFold(judged, of_lists, had, learned, consumed, items)


def _means(fold: JudgedFold) -> FoldMeans:
    users = len(fold.judged.items)
    values = point_values(fold.of_lists, fold.judged) if users else dict.fromkeys(NAMES, math.nan)
    return FoldMeans(users, {name: _known(values[name]) for name in NAMES})


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
