"""From lists to figures: of all users, of each fold, and of groups of users and items. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints
from trainer.judging.holdout import Holdout
from trainer.judging.intervals import intervals
from trainer.judging.lists import NONE, Judged, Recommended, judge
from trainer.judging.measures import NAMES, OF_A_LIST, point_values

ACTIVITY_QUANTILES: Final = (0, 0.25, 0.5, 0.75, 1)
"""A quarter of the users in each group, where as many of them have different numbers of items."""
POPULARITY_SHARES: Final = (0, 0.01, 0.05, 0.2, 0.5, 1)
"""Of the items, most popular first: the head, then what comes after it."""


class ActivityGroup(msgspec.Struct, frozen=True):
    """Users who had about as many items when the model learned."""

    least_items: int
    most_items: int
    users: int
    values: dict[str, float | None]
    """measure -> mean over these users; None if no list has a value"""


class PopularityGroup(msgspec.Struct, frozen=True):
    """Items that about as many users had."""

    from_share: float
    """of the items, most popular first: after which the group begins"""
    to_share: float
    learned: float
    """share of what users had when the model learned"""
    consumed: float
    """share of what was to be found"""
    recommended: float
    """share of the entries of all lists"""


def by_activity(of_lists: Mapping[str, Floats], had: Ints) -> list[ActivityGroup]:
    """Return the means of the users' values, in groups of users with fewer to more items.

    Args:
        of_lists: measure -> (m,) values.
        had: (m,) how many items each user had.
    """
    if not len(had):
        return []
    edges = np.unique(np.quantile(had, ACTIVITY_QUANTILES, method="inverted_cdf"))
    edges[0] -= 1
    groups = []
    for below, most in pairwise(edges) if len(edges) > 1 else [(edges[0], edges[0] + 1)]:
        members = (had > below) & (had <= most)
        groups.append(
            ActivityGroup(
                least_items=int(had[members].min()),
                most_items=int(had[members].max()),
                users=int(members.sum()),
                values={name: _mean(of_list[members]) for name, of_list in of_lists.items()},
            )
        )
    return groups


def by_popularity(learned: Ints, consumed: Ints, judged: Judged) -> list[PopularityGroup]:
    """Return what share of users' items, of sought items and of lists falls on which items.

    Args:
        learned: (n_items,) how many users had each.
        consumed: (n_items,) by how many each was to be found.
        judged: the lists.
    """
    n_items = len(learned)
    recommended = np.bincount(judged.items[judged.filled], minlength=n_items)
    order = np.argsort(-learned, kind="stable")
    ends = np.ceil(np.array(POPULARITY_SHARES) * n_items).astype(int)
    return [
        PopularityGroup(
            from_share=POPULARITY_SHARES[place],
            to_share=POPULARITY_SHARES[place + 1],
            learned=_share(learned, order[start:stop]),
            consumed=_share(consumed, order[start:stop]),
            recommended=_share(recommended, order[start:stop]),
        )
        for place, (start, stop) in enumerate(pairwise(ends.tolist()))
    ]


def _share(counts: Ints, items: Ints) -> float:
    return float(counts[items].sum() / max(counts.sum(), 1))


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


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
    """by the names in `trainer.judging.measures`"""
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
