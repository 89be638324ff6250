"""A canary is rolled back if it is worse than allowed, and not by chance."""

import numpy as np
import pytest

from contracts.messages import Ints
from trainer.experiments.rules import CanaryRules, ClickRules, HoldoutRules
from trainer.experiments.verdict import Accuracy, Clicked, Clicks, Flags, Verdict, judge

RULES = CanaryRules()


def accuracy(users: int, served: float, loss: float, noise: float = 0.2, seed: int = 0) -> Accuracy:
    random = np.random.default_rng(seed)
    of_served = np.full(users, served) + random.normal(0, 0.1, users)
    of_canary = of_served - loss + random.normal(0, noise, users)
    return Accuracy(of_served, of_canary, half(users))


def half(users: int) -> Flags:
    """Return which users have the canary: every other one."""
    return np.arange(users) % 2 == 1


def clicked(impressions: int, clicks: int, *, each: int = 1) -> Clicked:
    """Of users with equally many impressions, the first of whom clicked all of them."""
    users = impressions // each
    full, rest = divmod(clicks, each)
    of_user: Ints = np.zeros(users, np.int64)
    of_user[:full] = each
    of_user[full : full + 1] = rest
    return Clicked(np.full(users, each), of_user)


def clicks(served: float, canary: float, impressions: int = 20_000, *, each: int = 1) -> Clicks:
    return Clicks(
        clicked(10 * impressions, round(served * 10 * impressions), each=each),
        clicked(impressions, round(canary * impressions), each=each),
    )


def promoted(verdict: Verdict) -> bool:
    return verdict.enough and not verdict.worse


def test_a_canary_that_is_no_worse_is_promoted() -> None:
    verdict = judge(accuracy(1000, 0.4, 0.0), clicks(0.05, 0.05), RULES)
    assert promoted(verdict)
    assert "nDCG@10" in verdict.why
    assert "click-through 5.00% for 5.00% served" in verdict.why


def test_a_canary_with_worse_lists_is_rolled_back() -> None:
    verdict = judge(accuracy(1000, 0.4, 0.1), None, RULES)
    assert (verdict.enough, verdict.worse) == (True, True)
    assert verdict.figures["ndcg_canary"] < verdict.figures["ndcg_served"]


def test_a_canary_that_is_clicked_less_is_rolled_back_though_its_lists_are_better() -> None:
    assert judge(accuracy(1000, 0.4, -0.1), clicks(0.05, 0.03), RULES).worse


def test_a_loss_that_the_rules_allow_is_none() -> None:
    lenient = CanaryRules(holdout=HoldoutRules(loss_max=0.5), clicks=ClickRules(loss_max=0.5))
    assert not judge(accuracy(1000, 0.4, 0.1), clicks(0.05, 0.03), lenient).worse


def test_a_loss_that_may_be_chance_is_none() -> None:
    assert not judge(accuracy(200, 0.4, 0.02, noise=0.5, seed=3), None, RULES).worse
    assert not judge(None, clicks(0.05, 0.045, impressions=1_000), RULES).worse


def test_the_same_clicks_of_fewer_users_prove_less() -> None:
    # Either way 20,000 impressions of the canary, and 4 % of them clicked in place of 5 %.
    assert judge(None, clicks(0.05, 0.04, each=1), RULES).worse
    assert not judge(None, clicks(0.05, 0.04, each=100), RULES).worse


def test_no_single_user_decides_however_much_was_shown() -> None:
    shown = clicks(0.05, 0.05)
    crawler = Clicked(
        np.append(shown.canary.impressions, 10_000_000), np.append(shown.canary.clicks, 0)
    )
    found = judge(None, Clicks(shown.served, crawler), RULES)
    assert not found.worse
    assert "click-through 4.99% for 5.00% served, of 10020000 impressions" in found.why


def test_a_loss_of_few_users_may_be_chance_however_great_each_ones_is() -> None:
    for lost, worse in ((2, False), (8, True)):
        served = np.zeros(200)
        served[:lost] = 1
        assert judge(Accuracy(served, np.zeros(200), half(200)), None, RULES).worse == worse


def test_users_who_follow_recommendations_favor_neither_generation() -> None:
    on_canary = np.arange(1_100) < 100
    follows = np.arange(1_100) % 10 == 0  # and would not have found it in the other list
    served, canary = np.where(follows & ~on_canary, 1.0, 0), np.where(follows & on_canary, 1.0, 0)
    found = judge(Accuracy(served, canary, on_canary), None, RULES)
    assert not found.worse
    assert found.figures["ndcg_served"] == found.figures["ndcg_canary"] == 0.05
    assert found.figures["ndcg_p"] == pytest.approx(0.5)


def test_a_loss_shows_though_few_users_have_the_canary() -> None:
    served = accuracy(1_100, 0.4, 0.1)
    few = Accuracy(served.served, served.canary, np.arange(1_100) < 100)
    assert judge(few, None, RULES).worse


def test_two_measures_share_the_rate_at_which_equals_are_rolled_back() -> None:
    lists = next(
        lists
        for seed in range(1_000)
        for lists in [accuracy(300, 0.3, 0.02, seed=seed)]
        if 0.025 < judge(lists, None, RULES).figures["ndcg_p"] < 0.05
    )
    assert judge(lists, None, RULES).worse
    assert not judge(lists, clicks(0.05, 0.05), RULES).worse


def test_a_measure_with_too_little_data_decides_nothing() -> None:
    few = judge(accuracy(199, 0.4, 0.3), clicks(0.05, 0.0, impressions=999), RULES)
    assert (few.enough, few.worse) == (False, False)
    assert few.why == (
        "too little was seen to say; "
        "99 of 100 users of the canary and 100 others did anything new; "
        "999 of 1000 impressions to 999 of 100 users"
    )
    assert few.figures["impressions_canary"] == 999


def test_many_impressions_of_few_users_are_too_little() -> None:
    few = judge(None, clicks(0.05, 0.0, impressions=99 * 50, each=50), RULES)
    assert (few.enough, few.worse) == (False, False)
    assert "to 99 of 100 users" in few.why


@pytest.mark.parametrize(("needs", "enough"), [(0, True), (1, True), (2, False)])
def test_the_rules_say_how_many_measures_must_be_conclusive(needs: int, *, enough: bool) -> None:
    found = judge(accuracy(1000, 0.4, 0.0), None, CanaryRules(needs=needs))
    assert found.enough == enough
    assert ("too little was seen to say more; feedback could not be read" in found.why) != enough


def test_without_evidence_only_rules_that_need_none_promote() -> None:
    for needs in (0, 1, 2):
        assert promoted(judge(None, None, CanaryRules(needs=needs))) == (needs == 0)


def test_lists_that_never_hit_are_equal() -> None:
    zeros = np.zeros(500)
    assert promoted(judge(Accuracy(zeros, zeros, half(500)), clicks(0, 0), RULES))


def test_clicks_without_an_impression_are_reported() -> None:
    shown = clicks(0.05, 0.05)
    odd = Clicks(shown.served, Clicked(shown.canary.impressions, shown.canary.clicks, 7))
    figures = judge(None, odd, RULES).figures
    assert (figures["clicks_unmatched_served"], figures["clicks_unmatched_canary"]) == (0, 7)
    assert (figures["users_canary"], figures["clicks_canary"]) == (20_000, 1_000)
