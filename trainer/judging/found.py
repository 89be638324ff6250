"""What a search for settings found, and how well the chosen ones predict. Pure."""

from collections.abc import Sequence

import msgspec
import numpy as np

from contracts.generations import HeldOut, Lead
from contracts.messages import Floats
from trainer.judging.lists import error_of
from trainer.models.interface import Values


class Tried(msgspec.Struct, frozen=True):
    """A candidate, and how it did."""

    values: Values
    ndcg: float
    """nDCG@10, mean over the users, by which candidates are chosen"""
    coverage: float
    """recommended items / all items"""
    personalization: float
    seconds: float


class Found(msgspec.Struct, frozen=True):
    """What `auto` found out, and from what."""

    values: Values
    """settings that take the place of the trainer's"""
    why: str
    users: int = 0
    """whose latest items were held out"""
    ndcg: float | None = None
    """nDCG@10 of what is chosen without the users that it is measured on"""
    low: float | None = None
    """of the 95 % interval, by the users"""
    high: float | None = None
    tried: list[Tried] = []
    lead: Lead | None = None
    """None: the settings are those that are served, or nothing is"""


def held_out_of(found: Found) -> HeldOut | None:
    """Return how well the chosen settings predict; None if that could not be measured."""
    if found.ndcg is None or found.low is None or found.high is None:
        return None
    chosen = next(tried for tried in found.tried if tried.values == found.values)
    return HeldOut(
        found.users,
        found.ndcg,
        found.low,
        found.high,
        chosen.coverage,
        chosen.personalization,
        found.lead,
    )


def lead_of(of_users: Floats, of_served: Floats) -> Lead:
    """Return how much better one is than the other, (n_users,) each, user by user."""
    lead = of_users - of_served
    figures = float(of_served.mean()), float(lead.mean()), error_of(lead)
    return Lead(*(round(figure, 6) for figure in figures))


def not_chosen_on(of_users: Sequence[Floats]) -> Floats:
    """Return (n_users,) each user's nDCG of the candidate that is best for the other half of them.

    The best of many candidates owes a part of its lead to the users that it was chosen on, so their
    own figure is too high.

    Args:
        of_users: of each candidate, (n_users,) its nDCG.

    Source: Cawley and Talbot, "On over-fitting in model selection and subsequent selection bias in
    performance evaluation", JMLR 11, 2010; here with two folds of users.

    >>> lucky, steady = np.array([1.0, 0, 1, 0]), np.array([0.4, 0.4, 0.4, 0.4])
    >>> not_chosen_on([lucky, steady]).tolist()
    [0.4, 0.0, 0.4, 0.0]
    """
    figures = np.stack(of_users)
    is_even = np.arange(figures.shape[1]) % 2 == 0
    for_even, for_odd = (figures[:, half].mean(axis=1).argmax() for half in (~is_even, is_even))
    found: Floats = np.where(is_even, figures[for_even], figures[for_odd])
    return found


def optimism(found: Found) -> float:
    """Return by how much the users that a candidate was chosen on overrate it; 0 if unknown.

    Source of the term: Efron, "How biased is the apparent error rate of a prediction rule?", JASA
    81(394), 1986.
    """
    chosen = next((tried for tried in found.tried if tried.values == found.values), None)
    return 0.0 if chosen is None or found.ndcg is None else chosen.ndcg - found.ndcg


def without_optimism(found: Found, by: float) -> Found:
    """Return the same with lower figures, as these are of users that the choice was made on."""
    if found.ndcg is None or found.low is None or found.high is None:
        return found
    ndcg, low, high = (round(max(of - by, 0), 6) for of in (found.ndcg, found.low, found.high))
    return msgspec.structs.replace(found, ndcg=ndcg, low=low, high=high)
