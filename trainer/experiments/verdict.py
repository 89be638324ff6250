"""Whether a canary is worse than what is served. Pure."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from contracts.messages import Floats
from trainer.experiments.rules import CanaryRules


@dataclass(frozen=True, slots=True, eq=False)
class Accuracy:
    """nDCG of both generations' lists for the same users, on what they did since."""

    served: Floats
    """(n_users,)"""
    canary: Floats
    """(n_users,) of the same users"""


class Clicked(NamedTuple):
    """What was shown of a generation, and what of that was clicked."""

    impressions: int
    clicks: int


@dataclass(frozen=True, slots=True)
class Clicks:
    """Of both generations."""

    served: Clicked
    canary: Clicked


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a canary."""

    promote: bool
    why: str
    figures: dict[str, float]


class _Finding(NamedTuple):
    lost: bool
    said: str


def judge(accuracy: Accuracy | None, clicks: Clicks | None, rules: CanaryRules) -> Verdict:
    """Return whether the canary is to be promoted.

    Args:
        accuracy: None if it could not be measured.
        clicks: likewise.
        rules: how much worse it may be.
    """
    findings = [
        finding
        for finding in (_of_accuracy(accuracy, rules), _of_clicks(clicks, rules))
        if finding is not None
    ]
    why = "; ".join(finding.said for finding in findings) or "too little was seen of it to say"
    enough = len(findings) >= rules.needs
    if not enough:
        why += f"; the rules need {rules.needs} of 2 measures, there are {len(findings)}"
    promote = enough and not any(finding.lost for finding in findings)
    return Verdict(promote, why, _figures(accuracy, clicks))


def _of_accuracy(accuracy: Accuracy | None, rules: CanaryRules) -> _Finding | None:
    """Compare the means of paired values by their differences (Student's paired test, normal)."""
    if accuracy is None or len(accuracy.served) < rules.holdout.users_least:
        return None
    differences = accuracy.canary - accuracy.served
    error = float(differences.std(ddof=1)) / sqrt(len(differences))
    served, canary = float(accuracy.served.mean()), float(accuracy.canary.mean())
    lost = _is_lost(canary - served, error, served * rules.holdout.loss_max, rules.confidence)
    users = len(differences)
    return _Finding(lost, f"nDCG@10 {canary:.4f} for {served:.4f} served, of {users} users")


def _of_clicks(clicks: Clicks | None, rules: CanaryRules) -> _Finding | None:
    """Compare two rates (two-proportion z test, unpooled)."""
    if clicks is None:
        return None
    if min(clicks.served.impressions, clicks.canary.impressions) < rules.clicks.impressions_least:
        return None
    served, canary = _rate(clicks.served), _rate(clicks.canary)
    error = sqrt(
        served * (1 - served) / clicks.served.impressions
        + canary * (1 - canary) / clicks.canary.impressions
    )
    lost = _is_lost(canary - served, error, served * rules.clicks.loss_max, rules.confidence)
    shown = clicks.canary.impressions
    return _Finding(
        lost, f"click-through {canary:.2%} for {served:.2%} served, of {shown} impressions"
    )


def _is_lost(gain: float, error: float, loss_max: float, confidence: float) -> bool:
    """Return whether the gain is below `-loss_max`, and below 0 by more than chance."""
    chance = NormalDist().inv_cdf(confidence) * error
    return gain < -loss_max and gain < -chance


def _rate(clicked: Clicked) -> float:
    # More clicks than impressions: a client that tells only of clicks.
    return min(clicked.clicks / clicked.impressions, 1.0)


def _figures(accuracy: Accuracy | None, clicks: Clicks | None) -> dict[str, float]:
    figures: dict[str, float] = {}
    if accuracy is not None and len(accuracy.served):
        figures |= {
            "users": len(accuracy.served),
            "ndcg_served": round(float(np.mean(accuracy.served)), 6),
            "ndcg_canary": round(float(np.mean(accuracy.canary)), 6),
        }
    if clicks is not None:
        figures |= {
            "impressions_served": clicks.served.impressions,
            "clicks_served": clicks.served.clicks,
            "impressions_canary": clicks.canary.impressions,
            "clicks_canary": clicks.canary.clicks,
        }
    return figures
