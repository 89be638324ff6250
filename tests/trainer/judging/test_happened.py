"""What happened to served lists adds up over generations until there is enough of it."""

import numpy as np
import pytest

from contracts.figures import Happened
from trainer.judging.happened import USERS_ENOUGH, happened_of, together


def some(users: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    served = random.random(users)
    return served, served * random.random(users)


def happened(served: np.ndarray, popular: np.ndarray) -> Happened:
    found = happened_of(served, popular, 0.3)
    assert found is not None
    return found


def test_few_users_of_two_generations_are_as_good_as_all_of_them_at_once() -> None:
    (a, b), (c, d) = some(200, 1), some(300, 2)
    found = together(happened(a, b), happened(c, d))
    whole = happened(np.append(a, c), np.append(b, d))
    assert found is not None
    assert found.users == whole.users == 500
    for name in ("ndcg", "popular", "lead"):
        assert getattr(found, name).mean == pytest.approx(getattr(whole, name).mean, abs=1e-5)
        assert getattr(found, name).error == pytest.approx(getattr(whole, name).error, rel=0.03)


def test_enough_users_are_judged_alone() -> None:
    before, now = happened(*some(900, 1)), happened(*some(USERS_ENOUGH, 2))
    assert together(before, now) == now


def test_the_past_does_not_outweigh_the_present() -> None:
    zeros, ones = np.zeros(5_000), np.ones(USERS_ENOUGH - 1)
    found = together(happened(zeros, zeros), happened(ones, ones))
    assert found is not None
    assert found.ndcg.mean == pytest.approx(0.5, abs=0.001)


def test_where_nobody_took_anything_new_nothing_changes() -> None:
    before = happened(*some(30, 1))
    nobody = happened_of(np.empty(0), np.empty(0), 0.3)
    assert nobody is None
    assert together(before, nobody) == before
    assert together(None, before) == before
    assert together(None, None) is None
