"""The popular list, and how fast popularity passes: chosen by what the latest new users took. Pure.

The list is for users without a history. So what is to be predicted is what users took whose
first item came in the latest tenth of all entries, from what others had taken by then.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints
from contracts.times import DAY_MS
from trainer.counts.derived import Histories
from trainer.judging.holdout import Holdout, as_of
from trainer.judging.lists import Judged, N, Recommended, from_popular
from trainer.judging.measures import ndcg
from trainer.models.popular import PopularConfig, decayed_counts, recent_counts

LATEST: Final = 0.1
"""Share of all entries that is to be predicted."""
LEAST_USERS: Final = 20
"""New ones; what fewer took is chance."""
SHARES_OF_TIME: Final = (1 / 2, 1 / 8, 1 / 32)
"""Half-lives that are tried: see `half_lives`."""
DAYS_MOST: Final = 36_000
"""Of a half-life, as far as settings allow one."""


def popular_lists(holdout: Holdout, config: PopularConfig, n: int) -> Recommended:
    """Return the n most popular items of a hold-out that each judged user does not have."""
    days = half_life_of(config, holdout.histories, holdout.stored)
    counts = recent_counts(holdout.histories, holdout.stored, holdout.streamed, days)
    return from_popular(holdout, csr_array(counts.diagonal()[np.newaxis]), n)


def half_life_of(config: PopularConfig, histories: Histories, stored: Floats) -> float:
    """Return the half-life of the popular list in days: the one that is set, or else the best one.

    Args:
        config: may set it.
        histories: of (n_users, n_items).
        stored: (entries,) their affinities as the workers have them, users' scales included.

    Returns:
        0, which is none, if too few users are new; so it is if no other one is better.
    """
    if config.half_life_days is not None:
        return config.half_life_days
    if not len(stored):
        return 0.0
    moment = int(np.quantile(histories.since_ms, 1 - LATEST, method="lower"))
    is_known = histories.since_ms <= moment
    known, later = as_of(histories, moment).where(is_known), histories.where(~is_known)
    new = np.flatnonzero((known.degrees == 0) & (later.degrees > 0))
    if len(new) < LEAST_USERS:
        return 0.0
    taken = later.affinities[new]

    def accuracy(half_life_days: float) -> float:
        counts = decayed_counts(known, stored[is_known], half_life_days)
        first = np.argsort(-counts, kind="stable")[:N]
        hits = taken[:, first].toarray() > 0
        items = np.broadcast_to(first, hits.shape)
        relevant = np.diff(taken.indptr).astype(np.int64)
        return float(ndcg(Judged(items, hits, relevant, known.affinities)).mean())

    return max([0.0, *half_lives(known.ts_ms, SHARES_OF_TIME)], key=accuracy)


def half_lives(ts_ms: Ints, shares: Iterable[float], least: float = 0) -> list[float]:
    """Return the half-lives that are worth a try, in days; none where all events are of one time.

    Args:
        ts_ms: (entries,) the times of events.
        shares: of twice the time from the median event to the latest one.
        least: days that a half-life must be above.
    """
    days = float(ts_ms.max() - np.median(ts_ms)) / DAY_MS * 2
    tried = (min(days * share, DAYS_MOST) for share in shares)
    return [float(f"{half_life:.2g}") for half_life in tried if half_life > least]
