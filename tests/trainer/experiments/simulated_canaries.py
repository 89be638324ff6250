"""Canaries that never were: what their users and the others were shown, clicked and looked for.

A user's impressions follow a Pareto distribution (shape 1.5, 2,000 at most), and the probability
that one is clicked a beta distribution (mean 5 %, deviation 9 %); clicks are drawn by it. In the
hold-out a user's two lists are the same or, for three of ten users, have independent hits: one item
for one of four, at any place. One user of ten takes what their own list recommends, which the other
one has only if it is the same. With a loss of 10 % every click, or hit, of the canary is removed
with a probability of 10 %.

`is_worse_by_textbook` is what these canaries are too hard for: the z test of two proportions with
impressions taken for independent, and the paired test of both lists' nDCG no matter who was shown
which.
"""

from math import sqrt
from statistics import NormalDist
from typing import Final

import numpy as np

from contracts.messages import Floats
from trainer.experiments.rules import CanaryRules
from trainer.experiments.verdict import Accuracy, Clicked, Clicks

RULES: Final = CanaryRules()
PARETO_SHAPE: Final = 1.5
IMPRESSIONS_MOST: Final = 2_000
CLICK_RATE: Final = 0.05
LIKENESS: Final = 5.0
"""of the users' click rates: the sum of the beta distribution's parameters"""
LISTS_DIFFER: Final = 0.3
HIT_RATE: Final = 0.25
FOLLOWS: Final = 0.1
N: Final = 10

Random = np.random.Generator


def simulated_clicks(random: Random, users: int, loss: float) -> Clicks:
    """Return what a canary's users, and the users of the rest, were shown and clicked."""
    return Clicks(_clicked(random, _others(users), 0), _clicked(random, users, loss))


def simulated_accuracy(random: Random, users: int, loss: float) -> Accuracy:
    """Return nDCG@10 of a canary's users, and of those of the rest that are asked."""
    of_served = min(_others(users), RULES.holdout.users_most // 2)
    on_canary = np.arange(of_served + users) < users
    own, other = _found(random, len(on_canary), FOLLOWS), _found(random, len(on_canary), 0)
    other = np.where(random.random(len(on_canary)) < LISTS_DIFFER, other, own)
    served, canary = np.where(on_canary, (other, own), (own, other))
    return Accuracy(served, canary * (random.random(len(on_canary)) >= loss), on_canary)


def is_worse_by_textbook(accuracy: Accuracy | None, clicks: Clicks | None) -> bool:
    """Return whether the baseline finds a loss that the rules forbid."""
    lost = False
    if accuracy:
        gains = accuracy.canary - accuracy.served
        error = float(gains.std(ddof=1)) / sqrt(len(gains))
        served = float(accuracy.served.mean())
        lost = _is_lost(float(gains.mean()), error, served * RULES.holdout.loss_max)
    if clicks:
        (n, p), (m, q) = (
            (int(of.impressions.sum()), float(of.clicks.sum() / of.impressions.sum()))
            for of in (clicks.served, clicks.canary)
        )
        error = sqrt(p * (1 - p) / n + q * (1 - q) / m)
        lost |= _is_lost(q - p, error, p * RULES.clicks.loss_max)
    return lost


def _is_lost(gain: float, error: float, loss_max: float) -> bool:
    return gain < -NormalDist().inv_cdf(RULES.confidence) * error and gain < -loss_max


def _others(users: int) -> int:
    """Return how many users are not the canary's."""
    return round(users * (1 - RULES.share) / RULES.share)


def _clicked(random: Random, users: int, loss: float) -> Clicked:
    impressions = np.ceil(5 * (random.pareto(PARETO_SHAPE, users) + 0.2))
    impressions = np.minimum(impressions, IMPRESSIONS_MOST).astype(np.int64)
    rates = random.beta(CLICK_RATE * LIKENESS, (1 - CLICK_RATE) * LIKENESS, users)
    return Clicked(impressions, random.binomial(impressions, rates * (1 - loss)))


def _found(random: Random, users: int, follow: float) -> Floats:
    """Return nDCG@10 of lists that find one item or none; for those who follow them, one."""
    places = random.integers(1, N + 1, users)
    finds = (random.random(users) < HIT_RATE) | (random.random(users) < follow)
    return np.where(finds, 1 / np.log2(places + 1), 0)
