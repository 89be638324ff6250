"""The figure of a choice is not the one that it was chosen by."""

import numpy as np
import pytest

from trainer.judging.found import Found, Tried, not_chosen_on, optimism, without_optimism


def test_the_best_of_many_equals_is_reported_as_good_as_the_others() -> None:
    random = np.random.default_rng(0)
    leads, reported = [], []
    for _ in range(200):
        candidates = [random.normal(0.1, 0.2, 400) for _ in range(30)]
        chosen = int(np.argmax([of_users.mean() for of_users in candidates]))
        leads.append(candidates[chosen].mean() - 0.1)
        reported.append(not_chosen_on(candidates).mean() - 0.1)
    assert np.mean(leads) > 0.015
    assert np.mean(reported) == pytest.approx(0, abs=0.002)


def test_a_single_candidate_is_reported_as_it_was_measured() -> None:
    of_users = np.array([0.5, 0.25, 0.0])
    assert not_chosen_on([of_users]).tolist() == of_users.tolist()


def test_what_was_overrated_when_it_was_chosen_is_so_when_it_is_measured_again() -> None:
    tried = Tried({"item_model": "ease"}, 0.25, 0.5, 0.5, 1)
    chosen = Found(tried.values, "", 100, 0.2, 0.15, 0.25, [tried])
    assert optimism(chosen) == pytest.approx(0.05)
    again = without_optimism(
        Found(tried.values, "", 100, 0.3, 0.28, 0.32, [tried]), optimism(chosen)
    )
    assert (again.ndcg, again.low, again.high) == (0.25, 0.23, 0.27)


def test_without_figures_nothing_is_lowered() -> None:
    unknown = Found({"item_model": "ease"}, "too few users")
    assert without_optimism(unknown, optimism(unknown)) == unknown
