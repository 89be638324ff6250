"""How well lists did by what users newly took while they were served. Pure.

Prequential: lists are judged by what came after them, and nothing has to be held out. Histories say
since when a user has an item, so they tell what a user had when the lists were made, and what is
new since.

Source: Dawid, "Present position and potential developments: some personal views: statistical
theory: the prequential approach", JRSS A 147(2), 1984; for recommenders Vinagre, Jorge and Gama,
"Evaluation of recommender systems in streaming environments", 2014.
"""

from math import sqrt
from typing import Final

from contracts.figures import Happened, Mean
from contracts.messages import Floats
from trainer.judging.metrics import error_of

USERS_LEAST: Final = 20
"""Below, nothing is shown."""
USERS_ENOUGH: Final = 500
"""With these, a generation is judged alone; with fewer, together with those before it."""


def happened_of(served: Floats, popular: Floats, predicted: float | None) -> Happened | None:
    """Return what happened, by each user's nDCG of both lists, (n_users,); None of nobody."""
    if not len(served):
        return None
    return Happened(len(served), _mean(served), _mean(popular), _mean(served - popular), predicted)


def together(before: Happened | None, now: Happened | None) -> Happened | None:
    """Return what happened to generations before and now, if that of now is too little."""
    if before is None or now is None or now.users >= USERS_ENOUGH:
        return now or before
    # What is long past must not outweigh the present.
    counted = min(before.users, USERS_ENOUGH)
    ndcg, popular, lead = (
        _pooled((counted, then), (now.users, since))
        for then, since in (
            (before.ndcg, now.ndcg),
            (before.popular, now.popular),
            (before.lead, now.lead),
        )
    )
    return Happened(counted + now.users, ndcg, popular, lead, now.predicted)


def _mean(of_users: Floats) -> Mean:
    error = error_of(of_users) if len(of_users) > 1 else 1.0
    return Mean(round(float(of_users.mean()), 6), round(error, 6))


def _pooled(*parts: tuple[int, Mean]) -> Mean:
    """Return the mean of several groups of users, given with their sizes."""
    n = sum(users for users, _ in parts)
    mean = sum(users * part.mean for users, part in parts) / n
    error = sqrt(sum((users * part.error) ** 2 for users, part in parts)) / n
    return Mean(round(mean, 6), round(error, 6))
