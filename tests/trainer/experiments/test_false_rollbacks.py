"""Canaries that differ in nothing are rolled back no more often than the rules say."""

import secrets
from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest

from tests.trainer.experiments.simulated_canaries import (
    RULES,
    is_worse_by_textbook,
    simulated_accuracy,
    simulated_clicks,
)
from trainer.experiments.verdict import Accuracy, Clicks, judge

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


def by_clicks(random: np.random.Generator) -> tuple[Accuracy | None, Clicks | None]:
    """Have a few of the users be most of the traffic."""
    return None, simulated_clicks(random, 150, loss=0)


def by_lists(random: np.random.Generator) -> tuple[Accuracy | None, Clicks | None]:
    """Have most users see the served lists, and some follow them."""
    return simulated_accuracy(random, 100, loss=0), None


@pytest.mark.parametrize("simulated", [by_clicks, by_lists])
def test_by_one_measure_where_the_textbook_finds_more(
    simulated: Callable[[np.random.Generator], tuple[Accuracy | None, Clicks | None]],
) -> None:
    random, rolled_back, by_textbook = random_numbers(), 0, 0
    for _ in range(CANARIES):
        measured = simulated(random)
        rolled_back += judge(*measured, RULES).worse
        by_textbook += is_worse_by_textbook(*measured)
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
