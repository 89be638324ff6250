"""How often equal and worse canaries are rolled back.

Hypothesis: of equal canaries about as many are rolled back as the rules allow, 5 %, though a few
users are most of the traffic, some click far more than others, and some do what they were
recommended. Textbook tests roll back many times as many.

Work: simulated canaries, judged by `trainer.experiments.verdict` with the default rules. A user's
impressions follow a Pareto distribution (shape 1.5, 2,000 at most), and the probability that one is
clicked a beta distribution (mean 5 %, deviation 9 %); clicks are drawn by it. In the hold-out a
user's two lists are the same or, for three of ten users, have independent hits: one item for one of
four, at any place. One user of ten takes what their own list recommends, which the other one has
only if it is the same. With a loss of 10 % every click, or hit, of the canary is removed with a
probability of 10 %.

Baseline: the z test of two proportions, impressions taken for independent; and the paired test of
both lists' nDCG, no matter who was shown which. Each at the full rate that the rules allow.
"""

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import NormalDist
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import typer
from rich.text import Text
from scipy.stats import binomtest

from benchmarks.harness.report import Report, table
from benchmarks.harness.session import Json, present
from contracts.messages import Floats
from trainer.experiments.rules import CanaryRules
from trainer.experiments.verdict import Accuracy, Clicked, Clicks, judge

RULES: Final = CanaryRules()
LOSSES: Final = (0.0, 0.05, 0.1, 0.2, 0.5)
CASES: Final = (
    # The canary's users who were shown anything, and those in the hold-out.
    (1_000, 500),
    (200, 0),
    (300, 0),
    (1_000, 0),
    (3_000, 0),
    (10_000, 0),
    (0, 100),
    (0, 300),
    (0, 1_000),
)

PARETO_SHAPE: Final = 1.5
IMPRESSIONS_MOST: Final = 2_000
CLICK_RATE: Final = 0.05
LIKENESS: Final = 5.0
"""of the users' click rates: the sum of the beta distribution's parameters"""
LISTS_DIFFER: Final = 0.3
HIT_RATE: Final = 0.25
FOLLOWS: Final = 0.1
TIMES_AS_MANY: Final = 5
"""without a loss: small shares are to be distinguished there"""
N: Final = 10

Random = np.random.Generator


class Share(NamedTuple):
    """Of some canaries those that were rolled back."""

    rolled_back: int
    of: int

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the probability (Clopper and Pearson)."""
        low, high = binomtest(self.rolled_back, self.of).proportion_ci()
        return float(low), float(high)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.rolled_back / self.of:.1%} ({low:.0%} .. {high:.0%})"


class Case(NamedTuple):
    """What was seen of each canary, and what became of them."""

    clickers: int
    """the canary's users who were shown anything; 0 if feedback says nothing"""
    holdout: int
    """the canary's users in the hold-out; 0 if it says nothing"""
    impressions: int
    """of the canary, on average"""
    by_loss: dict[float, Share]
    baseline: Share
    """what textbook tests make of canaries without a loss"""


def canaries(
    trials: Annotated[int, typer.Option(min=10, help="simulated canaries of each loss")] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    *,
    json: Json = False,
) -> None:
    """How often canaries are rolled back that are as good as what is served, and worse ones."""
    present(report(list(measure(trials, seed)), seed), json=json)


def measure(trials: int, seed: int) -> Iterator[Case]:
    """Yield what becomes of simulated canaries, case by case."""
    for place, (clickers, holdout) in enumerate(CASES):
        by_loss, baseline, impressions = {}, 0, 0
        for loss in LOSSES:
            random = np.random.default_rng([seed, place, round(loss * 1_000)])
            n, rolled_back = trials if loss else trials * TIMES_AS_MANY, 0
            for _ in range(n):
                clicks = simulated_clicks(random, clickers, loss) if clickers else None
                accuracy = simulated_accuracy(random, holdout, loss) if holdout else None
                rolled_back += judge(accuracy, clicks, RULES).worse
                if not loss:
                    baseline += is_worse_by_textbook(accuracy, clicks)
                    impressions += int(clicks.canary.impressions.sum()) if clicks else 0
            by_loss[loss] = Share(rolled_back, n)
        as_good = by_loss[0].of
        yield Case(clickers, holdout, impressions // as_good, by_loss, Share(baseline, as_good))


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


def report(cases: Sequence[Case], seed: int) -> Report:
    """Report the cases: a line of JSON or a row each, of no loss first: the rules allow 5 %."""
    as_good, worse, *_ = (share.of for share in cases[0].by_loss.values())
    losses = [f"-{loss:.0%}" for loss in LOSSES[1:]]
    rollbacks = table(
        ("users", "impressions", "hold-out", "as good", "textbook", *losses),
        map(_row, cases),
        f"Rolled back of {as_good} canaries as good, {worse} worse ones (95 % interval), "
        f"seed {seed}",
    )
    explained = Text(
        "users, impressions: of the canary, where feedback says anything; hold-out: its users "
        "there, where that does. As good as what is served: by the rules about "
        f"{1 - RULES.confidence:.0%}; textbook: by the baseline. Then by how much it loses.",
        style="dim",
    )
    return Report([_figures(case, seed) for case in cases], [rollbacks, explained])


def _figures(case: Case, seed: int) -> dict[str, Any]:
    return {
        "name": "canaries",
        "work": f"{case.clickers} users with clicks, {case.holdout} of the hold-out",
        "value": {f"{loss:g}": s.rolled_back / s.of for loss, s in case.by_loss.items()},
        "unit": "share rolled back, by loss",
        "spread": {f"{loss:g}": s.interval() for loss, s in case.by_loss.items()},
        "baseline": "textbook tests, loss 0",
        "baseline_value": case.baseline.rolled_back / case.baseline.of,
        "rounds": case.by_loss[0].of,
        "seed": seed,
    }


def _row(case: Case) -> list[str]:
    as_good, *worse = case.by_loss.values()
    return [
        f"{case.clickers:,}" if case.clickers else "-",
        f"{case.impressions:,}" if case.impressions else "-",
        f"{case.holdout:,}" if case.holdout else "-",
        str(as_good),
        str(case.baseline),
        *(f"{share.rolled_back / share.of:.0%}" for share in worse),
    ]
