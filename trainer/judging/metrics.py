"""Lists and the held-out items that they hit, and the measures of them that training needs. Pure.

`trainer.evaluation.metrics` has the others.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Matrix, entry_rows
from trainer.judging.holdout import Holdout
from trainer.judging.recommending import NONE, Recommended

N: Final = 10
"""Length of a list: what the API sends unless asked for more."""
_Z: Final = 1.96
"""Standard errors to either side of a mean in a 95 % interval."""


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


def ndcg(judged: Judged) -> Floats:
    """Return (m,) the normalized discounted cumulative gain at n of each list, 0 to 1.

    `DCG = sum over hits of 1 / log2(rank + 1)`, divided by the DCG of the best possible list: hits
    at ranks 1 to min(n, relevant).

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS
    20(4), 2002, with the discount log2(rank + 1) of Burges et al., ICML 2005; `ndcg_cut` of
    trec_eval.
    """
    discounts = 1 / np.log2(np.arange(2, judged.n + 2))
    best = np.cumsum(discounts)[np.minimum(judged.relevant, judged.n) - 1]
    return np.asarray((judged.hits * discounts).sum(axis=1) / best)


def error_of(of_users: Floats) -> float:
    """Return half of the 95 % interval of the mean over users, (n_users,); NaN of a single one.

    >>> round(error_of(np.array([0.0, 1.0] * 50)), 3)
    0.098
    """
    if len(of_users) < 2:
        return float("nan")
    return _Z * float(of_users.std(ddof=1)) / sqrt(len(of_users))


def coverage(recommended: Floats) -> float:
    """Return recommended items / trained items, 0 to 1.

    Args:
        recommended: (n_items,) in how many lists each trained item stands.

    Source: Herlocker et al., "Evaluating collaborative filtering recommender systems", ACM TOIS
    22(1), 2004, section 4.2 (catalog coverage).

    >>> coverage(np.array([3.0, 0.0, 1.0, 0.0]))
    0.5
    """
    return float(np.count_nonzero(recommended) / len(recommended))


def personalization(recommended: Floats, n: int, users: int) -> float:
    """Return 1 - the mean overlap of two users' lists, 0 to 1; NaN of a single user.

    The overlap of two lists is the number of items in both, divided by n. Item i, in n_i lists, is
    in both lists of n_i (n_i - 1) ordered pairs of users, so the mean over all U (U - 1) of them is
    `sum_i n_i (n_i - 1) / (n U (U - 1))`, without comparing any two lists.

    Args:
        recommended: (n_items,) n_i.
        n: length of a full list.
        users: U.

    Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems",
    PNAS 107(10), 2010 (mean Hamming distance).

    >>> import numpy as np
    >>> personalization(np.array([2.0, 1.0, 1.0]), n=2, users=2)
    0.5
    """
    if users < 2:
        return float("nan")
    both = float((recommended * (recommended - 1)).sum())
    return 1 - both / (n * users * (users - 1))
