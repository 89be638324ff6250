"""Every measure of lists that were judged, in tables. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Matrix
from trainer.judging.lists import NONE, Judged

_LISTS_PER_BLOCK: Final = 1_000


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


def average_precision(judged: Judged) -> Floats:
    """Return (m,) the average precision at n of each list, 0 to 1; its mean is MAP.

    `AP = sum over hits of (hits up to its rank / its rank) / relevant`. A user with more than n
    relevant items cannot reach 1.

    Source: Buckley and Voorhees, "Evaluating evaluation measure stability", SIGIR 2000; `map_cut`
    of trec_eval.
    """
    ranks = np.arange(1, judged.n + 1)
    precision = np.cumsum(judged.hits, axis=1) / ranks
    return np.asarray((precision * judged.hits).sum(axis=1) / judged.relevant)


def precision(judged: Judged) -> Floats:
    """Return (m,) `hits / n` of each list, 0 to 1; a shorter list is also divided by n.

    Source: Herlocker et al., "Evaluating collaborative filtering recommender systems", ACM TOIS
    22(1), 2004, section 4.1; `P` of trec_eval.
    """
    return np.asarray(judged.hits.sum(axis=1) / judged.n)


def recall(judged: Judged) -> Floats:
    """Return (m,) `hits / relevant` of each list, 0 to 1.

    Source: Herlocker et al., "Evaluating collaborative filtering recommender systems", ACM TOIS
    22(1), 2004, section 4.1; `recall` of trec_eval.
    """
    return np.asarray(judged.hits.sum(axis=1) / judged.relevant)


def hit_rate(judged: Judged) -> Floats:
    """Return (m,) 1 for each list with a hit, 0 for the others.

    Source: Deshpande and Karypis, "Item-based top-N recommendation algorithms", ACM TOIS 22(1),
    2004, section 6.1, with any number of relevant items; `success` of trec_eval.
    """
    return np.asarray(judged.hits.any(axis=1), np.float64)


def intra_list_similarity(judged: Judged) -> Floats:
    """Return (m,) the mean cosine of two items of a list, NaN where it has less than two.

    The cosine is that of the items' columns in `judged.train`, whatever model made the list. The
    mean over the pairs of k unit vectors is `(|their sum|^2 - k) / (k (k - 1))`.

    Source: Ziegler et al., "Improving recommendation lists through topic diversification", WWW
    2005, as a mean instead of a sum, so that lists of any length compare.
    """
    from sklearn.preprocessing import normalize  # takes a second, and no run needs it

    units: Matrix = csr_array(normalize(judged.train, axis=0).T)
    squares = np.concatenate(
        [np.empty(0)]
        + [
            _squared_sums(units, judged.items[start:stop])
            for start, stop in blocks(np.ones(len(judged.items), np.int64), _LISTS_PER_BLOCK)
        ]
    )
    k = judged.filled.sum(axis=1)
    pairs = k * (k - 1)
    unknown = np.full(len(k), np.nan)
    mean: Floats = np.divide(squares - k, pairs, out=unknown, where=pairs > 0)
    return mean


def novelty(judged: Judged) -> Floats:
    """Return (m,) the mean self-information of a list's items in bits, NaN of an empty list.

    `-log2(users who have the item / users)`: 0 for an item that everybody has, 1 for one that half
    of them have.

    Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems",
    PNAS 107(10), 2010 (surprisal); RecTools calls it mean inverse user frequency.
    """
    n_users, n_items = judged.train.shape
    having = np.bincount(judged.train.indices, minlength=n_items)
    # Nobody had it: as surprising as an item of one user at least.
    bits = np.log2(n_users) - np.log2(np.maximum(having, 1))
    length = judged.filled.sum(axis=1)
    total = np.where(judged.filled, bits[judged.items], 0).sum(axis=1)
    mean: Floats = np.divide(total, length, out=np.full(len(length), np.nan), where=length > 0)
    return mean


def _squared_sums(units: Matrix, lists: Ints) -> Floats:
    """Return (n_lists,) the squared length of the sum of the unit vectors of each list's items."""
    filled = lists != NONE
    indptr = np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
    members: Matrix = csr_array(
        (np.ones(indptr[-1]), lists[filled], indptr), shape=(len(lists), units.shape[0])
    )
    sums = csr_array(members @ units)
    return np.asarray((sums * sums).sum(axis=1), np.float64)


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

    >>> personalization(np.array([2.0, 1.0, 1.0]), n=2, users=2)
    0.5
    """
    if users < 2:
        return float("nan")
    both = float((recommended * (recommended - 1)).sum())
    return 1 - both / (n * users * (users - 1))


OF_A_LIST: Final[Mapping[str, Callable[[Judged], Floats]]] = MappingProxyType(
    {
        "ndcg": ndcg,
        "map": average_precision,
        "precision": precision,
        "recall": recall,
        "hit_rate": hit_rate,
        "intra_list_similarity": intra_list_similarity,
        "novelty": novelty,
    }
)
"""What each list has a value of; NaN where it has none. The measure is the mean over the lists."""

ACCURACY: Final = ("ndcg", "map", "precision", "recall", "hit_rate")
"""Those that say whether the right items were found."""

NAMES: Final = (*ACCURACY, "coverage", "personalization", "intra_list_similarity", "novelty")
"""Every measure, in the order of tables."""


def point_values(of_lists: Mapping[str, Floats], judged: Judged) -> dict[str, float]:
    """Return each measure's value over all lists; NaN where it has none."""
    return values_of(of_lists, judged, np.ones(len(judged.items), np.int64))


def values_of(of_lists: Mapping[str, Floats], judged: Judged, times: Ints) -> dict[str, float]:
    """Return each measure's value where list u counts `times[u]` times."""
    filled = judged.filled
    counts = np.bincount(
        judged.items[filled],
        weights=np.broadcast_to(times[:, np.newaxis], filled.shape)[filled],
        minlength=judged.train.shape[1],
    ).astype(np.float64)
    return {name: _mean(values, times) for name, values in of_lists.items()} | {
        "coverage": coverage(counts),
        "personalization": personalization(counts, judged.n, int(times.sum())),
    }


def _mean(values: Floats, times: Ints) -> float:
    known = ~np.isnan(values)
    total = times[known].sum()
    return float(values[known] @ times[known] / total) if total else float("nan")
