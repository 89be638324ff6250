"""Whether a canary is worse than what is served. Pure.

A measure counts against a canary if it loses more than the rules allow, and an equal canary would
rarely lose as much. Each measure is one number a user, and its mean over the
canary's users is compared with the mean over the others:

- **Hold-out**: by how much better the user's own generation predicted what the user did than the
  other one. Users who follow recommendations do what their own generation predicted. This way that
  favors neither; averaged over all users it would favor the generation that most of them are
  shown.
- **Click-through**: with rate `p` of both generations together, a user of `n` impressions and `c`
  clicks is `c - n p` above it, which is the delta method for a ratio of means by user (Deng,
  Knoblich and Lu, "Applying the delta method in metric analytics", KDD 2018). Clicks of one user
  depend on each other, so impressions are not independent. A user of more than 30 impressions
  counts for 30, with the same rate: else the few who are most of the traffic would decide, and
  hide the others.

The variance of these numbers is taken from the users of both generations together, who do not
differ if the generations do not: so it is the variance of redrawing the canary's users (a
permutation test, by its normal approximation). Each group's own would be too small wherever few
users have the canary and those that vary most happen not to be among them.

With m conclusive measures, each may be wrong with a probability of `(1 - confidence) / m`
(Bonferroni). So of equal canaries about `1 - confidence` are rolled back: 5 % by default, with one
conclusive measure or two; a little more with only 100 users, as the normal approximation is coarse
there. A promoted canary is not proved to be equal: docs/operations.md shows how often which loss is
found.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.messages import Floats, Ints
from trainer.experiments.rules import CanaryRules

Flags = npt.NDArray[np.bool_]

IMPRESSIONS_A_USER: Final = 30
"""That a user counts for at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Accuracy:
    """nDCG of both generations' lists for the same users, on what they did since."""

    served: Floats
    """(n_users,)"""
    canary: Floats
    """(n_users,) of the same users"""
    on_canary: Flags
    """(n_users,) which users are shown the canary's lists"""

    def mean(self, of: Floats) -> float:
        """Return the mean of what each user has, with either generation's users as one half."""
        return float(of[self.on_canary].mean() + of[~self.on_canary].mean()) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Clicked:
    """What the users of a generation were shown, and what of that they clicked."""

    impressions: Ints
    """(n_users,) 1 or more"""
    clicks: Ints
    """(n_users,) of these impressions"""
    unmatched: int = 0
    """clicks without an impression; not in `clicks`"""

    def counted(self) -> tuple[Floats, Floats]:
        """Return impressions and clicks of each user, of `IMPRESSIONS_A_USER` at most."""
        counted = np.minimum(self.impressions, IMPRESSIONS_A_USER).astype(np.float64)
        return counted, self.clicks * (counted / self.impressions)

    @property
    def rate(self) -> float:
        """Clicks per impression, as they are counted."""
        impressions, clicks = self.counted()
        return float(clicks.sum() / impressions.sum())


@dataclass(frozen=True, slots=True)
class Clicks:
    """Of both generations; no user is in both."""

    served: Clicked
    canary: Clicked


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a canary."""

    enough: bool
    """as many measures are conclusive as the rules need"""
    worse: bool
    """one of these counts against it"""
    why: str
    figures: dict[str, float]


class _Finding(NamedTuple):
    loss: float
    """relative to the served generation, below 0 where the canary gains"""
    loss_max: float
    p: float
    """the probability of no smaller a loss if the generations differ in nothing"""
    said: str


def judge(accuracy: Accuracy | None, clicks: Clicks | None, rules: CanaryRules) -> Verdict:
    """Return the results of the measures.

    Args:
        accuracy: None if it could not be measured.
        clicks: None if they could not be read.
        rules: how much must be seen, and how much worse it may be.
    """
    results = {"ndcg": _of_accuracy(accuracy, rules), "clicks": _of_clicks(clicks, rules)}
    findings = {name: f for name, f in results.items() if isinstance(f, _Finding)}
    chance = (1 - rules.confidence) / max(len(findings), 1)
    worse = any(f.loss > f.loss_max and f.p < chance for f in findings.values())
    enough = len(findings) >= rules.needs
    said = [f.said for f in findings.values()]
    if not enough or not findings:
        said += ["too little was seen to say more" if findings else "too little was seen to say"]
        said += [lack for lack in results.values() if isinstance(lack, str)]
    p_values = {f"{name}_p": round(f.p, 6) for name, f in findings.items()}
    return Verdict(enough, worse, "; ".join(said), _figures(accuracy, clicks) | p_values)


def _of_accuracy(accuracy: Accuracy | None, rules: CanaryRules) -> _Finding | str:
    """Return what is found, or what there is too little of."""
    served, canary = (0, 0) if accuracy is None else _sizes(accuracy)
    least = rules.holdout.users_least
    if accuracy is None or min(served, canary) < least:
        return f"{canary} of {least} users of the canary and {served} others did anything new"
    ndcg_served, ndcg_canary = accuracy.mean(accuracy.served), accuracy.mean(accuracy.canary)
    lead = accuracy.canary - accuracy.served
    return _Finding(
        loss=_loss(ndcg_served, ndcg_canary),
        loss_max=rules.holdout.loss_max,
        p=_p_of_less(lead[accuracy.on_canary], -lead[~accuracy.on_canary]),
        said=f"nDCG@10 {ndcg_canary:.4f} for {ndcg_served:.4f} served, of {served + canary} users",
    )


def _of_clicks(clicks: Clicks | None, rules: CanaryRules) -> _Finding | str:
    """Return what is found, or what there is too little of."""
    if clicks is None:
        return "feedback could not be read"
    groups = (clicks.served, clicks.canary)
    users = min(len(group.impressions) for group in groups)
    shown = min(int(group.impressions.sum()) for group in groups)
    if users < rules.clicks.users_least or shown < rules.clicks.impressions_least:
        return (
            f"{shown} of {rules.clicks.impressions_least} impressions to {users} of "
            f"{rules.clicks.users_least} users"
        )
    served, canary = clicks.served.rate, clicks.canary.rate
    return _Finding(
        loss=_loss(served, canary),
        loss_max=rules.clicks.loss_max,
        p=_p_of_less(*_above(clicks)),
        said=(
            f"click-through {canary:.2%} for {served:.2%} served, "
            f"of {clicks.canary.impressions.sum()} impressions to "
            f"{len(clicks.canary.impressions)} users"
        ),
    )


def _loss(served: float, canary: float) -> float:
    return (served - canary) / served if served else 0.0


def _above(clicks: Clicks) -> tuple[Floats, Floats]:
    """Return how far above the common rate each user of the canary is, and each of the others."""
    (n_canary, c_canary), (n_served, c_served) = clicks.canary.counted(), clicks.served.counted()
    rate = (c_canary.sum() + c_served.sum()) / (n_canary.sum() + n_served.sum())
    return c_canary - n_canary * rate, c_served - n_served * rate


def _p_of_less(canary: Floats, served: Floats) -> float:
    """Return the probability of a mean so far below the other's if all users are alike."""
    both = np.concatenate([canary, served])
    error = float(both.std(ddof=1)) * sqrt(1 / len(canary) + 1 / len(served))
    return NormalDist().cdf(float(canary.mean() - served.mean()) / error) if error else 1.0


def _sizes(accuracy: Accuracy) -> tuple[int, int]:
    """Return how many users have the served generation, and the canary."""
    on_canary = int(accuracy.on_canary.sum())
    return len(accuracy.on_canary) - on_canary, on_canary


def _figures(accuracy: Accuracy | None, clicks: Clicks | None) -> dict[str, float]:
    figures: dict[str, float] = {}
    if accuracy is not None:
        served, canary = _sizes(accuracy)
        figures |= {"holdout_users_served": served, "holdout_users_canary": canary}
        if served and canary:
            figures |= {
                "ndcg_served": round(accuracy.mean(accuracy.served), 6),
                "ndcg_canary": round(accuracy.mean(accuracy.canary), 6),
            }
    if clicks is not None:
        figures |= _counts("served", clicks.served) | _counts("canary", clicks.canary)
    return figures


def _counts(name: str, clicked: Clicked) -> dict[str, float]:
    return {
        f"users_{name}": len(clicked.impressions),
        f"impressions_{name}": int(clicked.impressions.sum()),
        f"clicks_{name}": int(clicked.clicks.sum()),
        f"clicks_unmatched_{name}": clicked.unmatched,
    }
