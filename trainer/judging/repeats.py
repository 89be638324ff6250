"""How many items that a user has should lead the list, judged by all that users took. Pure.

A model's lists have new items only. Where users take the same items again, as in a shop, lists that
some of these lead find more. A list may be good at either part, so the figures are of both as well.

Sources: Hu et al., "Modeling personalized item frequency information for next-basket
recommendation", SIGIR 2020; of the two parts, Li et al., "A next basket recommendation reality
check", ACM TOIS 41(4), 2023.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from contracts.fold_in import SCORE_DECIMALS, repeat_scores
from contracts.generations import Repeats
from contracts.messages import Floats
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Matrix
from trainer.judging.holdout import Holdout
from trainer.judging.intervals import error_of, is_ahead
from trainer.judging.lists import (
    NONE,
    USERS_PER_BLOCK,
    Made,
    Recommended,
    continued,
    folded_scores,
    judge,
    served_lists,
)
from trainer.judging.measures import ndcg

MOST: Final = (0, 1, 2, 3, 5, 10)
"""How many may lead, that are tried."""


def judge_repeats(
    holdout: Holdout, n: int, made: Made, *, by_affinity: bool
) -> tuple[int, list[Repeats]]:
    """Return how many items that a user has should lead, and how well each number predicts.

    The fewest that the best number does not lead beyond chance. Asked are the users who took
    anything new, as for all other figures. Nothing is returned if none of them took anything again.

    Args:
        holdout: what users had, and took.
        n: length of a list.
        made: what lists are made of.
        by_affinity: whether a higher affinity comes first, as it is served. Not if an affinity may
            be a sum with what is to be predicted in it: then lists are better than their figures.
    """
    users = holdout.judged
    has_again = np.diff(holdout.again.indptr)[users] > 0
    if not has_again.any():
        return 0, []
    new, own = served_lists(holdout, n, made), own_items(holdout, n, made, by_affinity=by_affinity)
    of_users, found = list[Floats](), list[Repeats]()
    for most in MOST:
        led = np.where(np.arange(n) < most, own.items, NONE)
        lists = continued(replace(own, items=led), new)
        whole = ndcg(judge(replace(holdout, test=csr_array(holdout.test + holdout.again)), lists))
        again = ndcg(judge(replace(holdout, test=holdout.again), _of(lists, has_again)))
        parts = whole, ndcg(judge(holdout, lists)), again
        figures = (f for part in parts for f in (float(part.mean()), error_of(part)))
        of_users.append(whole)
        found.append(Repeats(most, *(round(figure, 6) for figure in figures)))
    best = max(of_users, key=np.mean)
    few = next(place for place, one in enumerate(of_users) if not is_ahead(best, one))
    return MOST[few], found


def own_items(holdout: Holdout, n: int, made: Made, *, by_affinity: bool) -> Recommended:
    """Return the n items of each judged user that the API would put first."""
    users, ts_ms, had = holdout.judged, holdout.histories.ts_ms, holdout.train
    items = np.full((len(users), n), NONE)
    fits = np.zeros(had.shape[1])
    for start, stop in blocks(np.ones(len(users), np.int64), USERS_PER_BLOCK):
        folded: Matrix = csr_array((stop - start, len(fits)))
        if made.neighbors is not None:
            folded = folded_scores(holdout, made.neighbors, made.fold_in, users[start:stop])
        for place in range(start, stop):
            of = slice(*had.indptr[users[place] : users[place] + 2])
            scored = slice(*folded.indptr[place - start : place - start + 2])
            fits[folded.indices[scored]] = folded.data[scored]
            own, ages_ms = had.indices[of], ts_ms[of].max() - ts_ms[of]
            affinities = had.data[of] if by_affinity else np.ones(len(own))
            scores = repeat_scores(affinities, ages_ms, fits[own]).round(SCORE_DECIMALS)
            first = own[np.lexsort((own, -scores))][:n]
            items[place, : len(first)] = first
            fits[folded.indices[scored]] = 0
    return Recommended(users, items, np.zeros(items.shape))


def _of(lists: Recommended, some: np.typing.NDArray[np.bool_]) -> Recommended:
    return Recommended(lists.users[some], lists.items[some], lists.scores[some])
