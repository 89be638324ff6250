"""Every measure, in tables, and their confidence intervals. Pure.

Lists and what was to be found in, numbers out. An interval says how much a measure would vary with
other users of the same kind.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from scipy.sparse import csr_array
from sklearn.preprocessing import normalize

from contracts.messages import Floats, Ints
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Matrix
from trainer.judging.lists import NONE, Judged, coverage, ndcg, personalization

_LISTS_PER_BLOCK: Final = 1_000


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


REPLICATES: Final = 1_000
CONFIDENCE: Final = 0.95

Interval = tuple[float, float]


def point_values(of_lists: Mapping[str, Floats], judged: Judged) -> dict[str, float]:
    """Return each measure's value over all lists; NaN where it has none."""
    return _values(of_lists, judged, np.ones(len(judged.items), np.int64))


def intervals(of_lists: Mapping[str, Floats], judged: Judged, seed: int) -> dict[str, Interval]:
    """Return the 95 % interval of each measure, from 1,000 draws of m users with replacement.

    The interval reaches from the value as far as the 2.5 % and the 97.5 % quantile of the draws
    are from their mean. For a mean over users that is the percentile interval. Coverage and
    personalization of a draw are lower than of all users, as some are in it twice and others not
    at all: their spread counts here, and this bias does not.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    random = np.random.default_rng(seed)
    m = len(judged.items)
    value = point_values(of_lists, judged)
    draws = [
        _values(of_lists, judged, random.multinomial(m, np.full(m, 1 / m)))
        for _ in range(REPLICATES)
    ]
    return {name: _interval(value[name], np.array([d[name] for d in draws])) for name in value}


def lead(ours: Floats, theirs: Floats, seed: int) -> tuple[float, Interval]:
    """Return by how much the mean of a measure is greater, and the 95 % interval of that.

    The draws are of users, and each user's two lists are compared: that two models are good for the
    same users does not count, and the interval is narrower than those of the two means.

    Args:
        ours: (m,) value of each user's list.
        theirs: (m,) of another list of the same users.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    more = ours - theirs
    m = len(more)
    draws = [random.multinomial(m, np.full(m, 1 / m)) @ more / m for _ in range(REPLICATES)]
    return float(more.mean()), _interval(float(more.mean()), np.array(draws))


def _interval(value: float, draws: Floats) -> Interval:
    draws = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(draws):
        return float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) - draws.mean() + value
    return float(low), float(high)


def _values(of_lists: Mapping[str, Floats], judged: Judged, times: Ints) -> dict[str, float]:
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
