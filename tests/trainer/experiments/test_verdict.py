"""A canary is rolled back if it is worse than allowed, and not by chance."""

import numpy as np
import pytest

from trainer.experiments.rules import CanaryRules, ClickRules, HoldoutRules
from trainer.experiments.verdict import Accuracy, Clicked, Clicks, judge

RULES = CanaryRules()


def accuracy(users: int, served: float, loss: float, noise: float = 0.2, seed: int = 0) -> Accuracy:
    random = np.random.default_rng(seed)
    of_served = np.full(users, served) + random.normal(0, 0.1, users)
    return Accuracy(of_served, of_served - loss + random.normal(0, noise, users))


def clicks(served: float, canary: float, impressions: int = 20_000) -> Clicks:
    return Clicks(
        Clicked(10 * impressions, round(served * 10 * impressions)),
        Clicked(impressions, round(canary * impressions)),
    )


def test_a_canary_that_is_no_worse_is_promoted() -> None:
    verdict = judge(accuracy(1000, 0.4, 0.0), clicks(0.05, 0.05), RULES)
    assert verdict.promote
    assert "nDCG@10" in verdict.why
    assert "click-through 5.00% for 5.00% served" in verdict.why


def test_a_canary_with_worse_lists_is_rolled_back() -> None:
    verdict = judge(accuracy(1000, 0.4, 0.1), None, RULES)
    assert not verdict.promote
    assert verdict.figures["ndcg_canary"] < verdict.figures["ndcg_served"]


def test_a_canary_that_is_clicked_less_is_rolled_back_though_its_lists_are_better() -> None:
    assert not judge(accuracy(1000, 0.4, -0.1), clicks(0.05, 0.03), RULES).promote


def test_a_loss_that_the_rules_allow_is_none() -> None:
    lenient = CanaryRules(holdout=HoldoutRules(loss_max=0.5), clicks=ClickRules(loss_max=0.5))
    assert judge(accuracy(1000, 0.4, 0.1), clicks(0.05, 0.03), lenient).promote


def test_a_loss_that_may_be_chance_is_none() -> None:
    assert judge(accuracy(200, 0.4, 0.02, noise=0.5, seed=3), None, RULES).promote
    assert judge(None, clicks(0.05, 0.045, impressions=1_000), RULES).promote


@pytest.mark.parametrize("seed", range(5))
def test_of_equals_few_are_rolled_back(seed: int) -> None:
    rolled_back = sum(
        not judge(accuracy(300, 0.3, 0.0, seed=1000 * seed + n), None, RULES).promote
        for n in range(200)
    )
    # One in twenty at most, the rules' confidence; 200 draws of that have a deviation of 3.
    assert rolled_back <= 10 + 4 * 3


def test_what_was_seen_too_little_of_says_nothing() -> None:
    few = judge(accuracy(199, 0.4, 0.3), clicks(0.05, 0.0, impressions=999), RULES)
    assert few.promote
    assert few.why == "too little was seen of it to say"
    assert few.figures["impressions_canary"] == 999


@pytest.mark.parametrize(("needs", "promoted"), [(0, True), (1, True), (2, False)])
def test_the_rules_may_ask_for_measures(needs: int, *, promoted: bool) -> None:
    found = judge(accuracy(1000, 0.4, 0.0), None, CanaryRules(needs=needs))
    assert found.promote == promoted
    assert ("the rules need 2 of 2 measures, there are 1" in found.why) != promoted


def test_lists_that_never_hit_are_equal() -> None:
    zeros = np.zeros(500)
    assert judge(Accuracy(zeros, zeros), clicks(0, 0), RULES).promote


def test_clicks_alone_do_not_make_a_rate_above_1() -> None:
    odd = Clicks(Clicked(1000, 3000), Clicked(1000, 5000))
    assert judge(None, odd, RULES).promote
