"""Of equal canaries few are rolled back, and the interval is where it says.

The script of that name prints more of this, for docs/operations.md.
"""

import secrets
from math import sqrt

import numpy as np

from tests.trainer.judging.simulation import RULES, refused, simulated

PERIODS = 100
USERS = 600


def random_numbers() -> np.random.Generator:
    seed = secrets.randbelow(2**32)
    print("seed", seed)
    return np.random.default_rng(seed)


def most(n: int, share: float) -> float:
    """Return how many of n are within the share but for one case in 30,000."""
    return n * share + 4 * sqrt(n * share * (1 - share))


def test_of_canaries_with_the_same_lists_few_are_rolled_back_or_beyond_the_interval() -> None:
    random = random_numbers()
    found = [simulated(random, USERS, 0.2, same=True) for _ in range(PERIODS)]
    beyond = sum(not each.compared.low <= 0 <= each.compared.high for each in found)
    assert beyond <= most(PERIODS, 0.05)
    assert sum(RULES.is_broken(each.compared) for each in found) <= most(PERIODS, 0.025)


def test_of_canaries_whose_lists_are_spoiled_all_are() -> None:
    random = random_numbers()
    assert all(RULES.is_broken(simulated(random, USERS, 0.5, loss=1).compared) for _ in range(10))


def test_the_gate_refuses_hardly_any_choice_among_equals() -> None:
    random = random_numbers()
    n_refused = sum(refused(random, users) for users in (60, 200) for _ in range(200))
    assert n_refused <= most(400, 0.01)
