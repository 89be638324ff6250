"""From lists to figures. Pure."""

import math

import msgspec

from trainer.evaluation.bootstrap import intervals, point_values
from trainer.evaluation.groups import ActivityGroup, PopularityGroup, by_activity, by_popularity
from trainer.evaluation.metrics import NAMES, OF_A_LIST
from trainer.judging.holdout import Holdout
from trainer.judging.metrics import judge
from trainer.judging.recommending import Recommended


class NobodyError(ValueError):
    """Nobody has anything to be found, so nothing can be measured."""


class Estimate(msgspec.Struct, frozen=True):
    """A measure; None where no list has a value, e.g. the similarity within lists of one item."""

    value: float | None
    low: float | None
    """of the 95 % confidence interval"""
    high: float | None


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


def measure(holdout: Holdout, recommended: Recommended, seed: int = 0) -> Measured:
    """Return how good lists are, from any source.

    Raises:
        NobodyError: there are no lists.
    """
    if not len(recommended.users):
        raise NobodyError("no user has an item to be found: take more test events")
    judged = judge(holdout, recommended)
    of_lists = {name: of_a_list(judged) for name, of_a_list in OF_A_LIST.items()}
    values, spread = point_values(of_lists, judged), intervals(of_lists, judged, seed)
    return Measured(
        n=judged.n,
        users=len(recommended.users),
        metrics={
            name: Estimate(*(_known(v) for v in (values[name], *spread[name]))) for name in NAMES
        },
        by_activity=by_activity(of_lists, holdout, recommended.users),
        by_popularity=by_popularity(holdout, judged),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
