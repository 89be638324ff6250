"""Canaries that differ in nothing are rolled back no more often than the rules say."""

import secrets
from math import sqrt

import numpy as np

from tests.trainer.experiments.simulated_canaries import (
    RULES,
    is_worse_by_textbook,
    simulated_accuracy,
    simulated_clicks,
)
from trainer.experiments.verdict import judge

CANARIES = 1_000
AT_MOST = 1 - RULES.confidence
"""That are rolled back, by the rules."""


def random_numbers() -> np.random.Generator:
    seed = secrets.randbelow(2**32)
    print("seed", seed)
    return np.random.default_rng(seed)


def most(n: int, share: float) -> float:
    """Return how many of n are within the share but for one case in 30,000."""
    return n * share + 4 * sqrt(n * share * (1 - share))


def test_by_clicks_though_a_few_of_the_users_are_most_of_the_traffic() -> None:
    random, rolled_back, by_textbook = random_numbers(), 0, 0
    for _ in range(CANARIES):
        clicks = simulated_clicks(random, 150, loss=0)
        rolled_back += judge(None, clicks, RULES).worse
        by_textbook += is_worse_by_textbook(None, clicks)
    assert rolled_back <= most(CANARIES, AT_MOST)
    assert by_textbook > 2 * most(CANARIES, AT_MOST), "these clicks are too easy to judge"


def test_by_lists_though_most_users_see_the_served_ones_and_some_follow_them() -> None:
    random, rolled_back, by_textbook = random_numbers(), 0, 0
    for _ in range(CANARIES):
        accuracy = simulated_accuracy(random, 100, loss=0)
        rolled_back += judge(accuracy, None, RULES).worse
        by_textbook += is_worse_by_textbook(accuracy, None)
    assert rolled_back <= most(CANARIES, AT_MOST)
    assert by_textbook > 2 * most(CANARIES, AT_MOST), "these users are too easy to judge"


def test_by_both_measures_together() -> None:
    random, rolled_back = random_numbers(), 0
    for _ in range(CANARIES):
        accuracy = simulated_accuracy(random, 100, loss=0)
        rolled_back += judge(accuracy, simulated_clicks(random, 150, loss=0), RULES).worse
    assert rolled_back <= most(CANARIES, AT_MOST)


def test_while_of_those_that_lose_a_fifth_most_are() -> None:
    random = random_numbers()
    rolled_back = sum(
        judge(
            simulated_accuracy(random, 500, loss=0.2),
            simulated_clicks(random, 1_000, loss=0.2),
            RULES,
        ).worse
        for _ in range(20)
    )
    assert rolled_back >= 15
