"""Lists as the API makes them, for all users of a hold-out at once, and the measures of them. Pure.

Only what is served counts. The API has lists of bounded length and a user's latest items, not the
model: so this uses the same lists and items, and leaves out what the user has. These are the
measures that training needs; `trainer.judging.measures` has the others.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial, reduce
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array, vstack

from contracts.fold_in import FoldIn
from contracts.messages import Floats, Ints
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Matrix, entry_rows
from trainer.judging.holdout import Holdout, folded_in, unseen
from trainer.models import Ranker
from trainer.models.ranking import Ranking, rounded, top_n

USERS_PER_BLOCK: Final = 1_000
ROWS_PER_BLOCK: Final = 1_000
NONE: Final = -1
"""Padding where a list is shorter than n."""


@dataclass(frozen=True, slots=True, eq=False)
class Recommended:
    """The lists of some users, best first."""

    users: Ints
    """(m,) rows of the hold-out"""
    items: Ints
    """(m, n) columns of the hold-out; `NONE` after the end of a shorter list"""
    scores: Floats
    """(m, n) 0 there"""


def row_blocks(n_rows: int) -> list[Ints]:
    """Return so many rows, cut into blocks."""
    return [np.arange(*block) for block in blocks(np.ones(n_rows, np.int64), ROWS_PER_BLOCK)]


def lists_of(ranker: Ranker, n_items: int, of_rows: Iterable[Ints]) -> Matrix:
    """Return the lists of some rows as a matrix (n_rows, n_items) of scores, as they are served."""
    parts = [_as_matrix(ranker.rank(rows), n_items) for rows in of_rows]
    return csr_array(vstack(parts, format="csr")) if parts else csr_array((0, n_items))


def from_item_lists(holdout: Holdout, lists: Matrix, fold_in: FoldIn, n: int) -> Recommended:
    """Fold the history of each user into `lists`, (n_items, n_items): row i is i's neighbors.

    The formula is that of `contracts.fold_in`.
    """
    scores = partial(folded_scores, holdout, lists, fold_in)
    return _recommended(holdout, scores_of=scores, n=n)


def folded_scores(holdout: Holdout, lists: Matrix, fold_in: FoldIn, users: Ints) -> Matrix:
    """Return (len(users), n_items) the score of each item, those that the user has included."""
    weights = folded_in(holdout.histories, users, fold_in)
    total = np.asarray(weights.sum(axis=1), np.float64)
    share = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    folded = csr_array(diags_array(share) @ weights @ lists)
    folded.data = rounded(folded.data)
    return folded


def from_user_lists(holdout: Holdout, lists: Matrix, n: int) -> Recommended:
    """Take each user's own list from `lists`, (n_users, n_items)."""
    return _recommended(holdout, scores_of=lambda users: lists[users], n=n)


def from_popular(holdout: Holdout, lists: Matrix, n: int) -> Recommended:
    """Take the one list in `lists`, (1, n_items), for everybody."""
    had_most = int(np.diff(holdout.train.indptr)[holdout.judged].max(initial=0))
    first = _as_matrix(_best(lists, n + had_most), lists.shape[1])
    return _recommended(holdout, scores_of=lambda users: first[np.zeros(len(users), np.int64)], n=n)


class Made(NamedTuple):
    """The lists that answers are made of."""

    popular: Recommended
    """popular items, for at least the judged users"""
    own: Matrix | None = None
    """(n_users, n_items) users' own lists, if they have any"""
    neighbors: Matrix | None = None
    """(n_items, n_items) items' neighbors, if histories are folded into them"""
    fold_in: FoldIn = FoldIn()
    """how these are"""


def served_lists(holdout: Holdout, n: int, made: Made) -> Recommended:
    """Return n items for each judged user: the own list, then items like theirs, then popular."""
    parts = []
    if made.own is not None:
        parts.append(from_user_lists(holdout, made.own, n))
    if made.neighbors is not None:
        parts.append(from_item_lists(holdout, made.neighbors, made.fold_in, n))
    return reduce(continued, [*parts, made.popular])


def continued(lists: Recommended, by: Recommended) -> Recommended:
    """Return lists that are continued, where too short, by other ones of these users, or of more.

    As the API continues what it finds by what is popular. The scores of these items are 0.
    """
    items, n = lists.items.copy(), lists.items.shape[1]
    others = by.items[np.searchsorted(by.users, lists.users)]
    for row in np.flatnonzero(items[:, -1] == NONE):
        length = int(np.argmax(items[row] == NONE))
        more = others[row][~np.isin(others[row], items[row])][: n - length]
        items[row, length : length + len(more)] = more
    return Recommended(lists.users, items, lists.scores)


def _recommended(holdout: Holdout, scores_of: Callable[[Ints], Matrix], n: int) -> Recommended:
    """Return the best n of the scores of each judged user, without what the user has."""
    users = holdout.judged
    items = np.full((len(users), n), NONE)
    best_scores = np.zeros((len(users), n))
    for start, stop in blocks(np.ones(len(users), np.int64), USERS_PER_BLOCK):
        block = users[start:stop]
        best = _best(_recommendable(scores_of(block), holdout.train[block]), n)
        rows = np.repeat(np.arange(start, stop), np.diff(best.indptr))
        places = np.arange(len(rows)) - best.indptr[rows - start]
        items[rows, places], best_scores[rows, places] = best.columns, best.scores
    return Recommended(users, items, best_scores)


def _recommendable(scores: Matrix, seen: Matrix) -> Matrix:
    """Return the scores that are above 0 and not where `seen` is."""
    kept = unseen(scores, seen)
    kept.data = np.maximum(kept.data, 0)
    kept.eliminate_zeros()
    return kept


def _best(scores: Matrix, n: int) -> Ranking:
    """Return the n best of each row; of equal scores the smaller id goes first, as in the API."""
    # Popularity has no decimals of its own to be rounded to: any difference in size orders it.
    return top_n(scores, scores.data, n)


def _as_matrix(ranking: Ranking, n_items: int) -> Matrix:
    made: Matrix = csr_array(
        (ranking.scores, ranking.columns, ranking.indptr), shape=(len(ranking), n_items)
    )
    made.sort_indices()
    return made


N: Final = 10
"""Length of a list: what the API sends unless asked for more."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The lists of m users, each with something to be found."""

    items: Ints
    """(m, n) as in `Recommended`"""
    hits: npt.NDArray[np.bool_]
    """(m, n) which of them were to be found"""
    relevant: Ints
    """(m,) how many items were to be found, 1 or more"""
    train: Matrix
    """(n_users, n_items) what the model learned from, of all users"""

    @property
    def n(self) -> int:
        """The length of a full list."""
        return int(self.items.shape[1])

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """(m, n) where there is an item."""
        return np.not_equal(self.items, NONE)


def judge(holdout: Holdout, recommended: Recommended) -> Judged:
    """Return which of the recommended items were to be found."""
    test = holdout.test[recommended.users]
    n_items = test.shape[1]
    rows = entry_rows(test.indptr)
    places = np.arange(len(recommended.users))[:, np.newaxis] * n_items + recommended.items
    found = np.isin(places, rows * n_items + test.indices)
    return Judged(
        items=recommended.items,
        hits=found & np.not_equal(recommended.items, NONE),
        relevant=np.diff(test.indptr).astype(np.int64),
        train=holdout.train,
    )
