"""The shift of popularity is the population stability index, over deciles of what was popular."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from trainer.counts.matrices import Gram
from trainer.quality.figures import Popularity, popularity_shift


def gram_of(own: dict[int, float]) -> Gram:
    items = np.array(sorted(own), np.int64)
    return Gram(items, csr_array(np.diag([own[int(item)] for item in items])))


def popularity_of(own: dict[int, float], top: int = 200) -> Popularity:
    ordered = sorted(own.items(), key=lambda entry: (-entry[1], entry[0]))[:top]
    return Popularity(len(own), sum(own.values()), dict(ordered))


counted = st.dictionaries(st.integers(0, 500), st.integers(1, 1000), min_size=1)


@given(counted, st.floats(0.01, 100))
def test_the_same_popularity_is_no_shift_however_much_more_there_is(
    own: dict[int, float], factor: float
) -> None:
    more = {item: count * factor for item, count in own.items()}
    assert popularity_shift(popularity_of(own), gram_of(more)) == pytest.approx(0, abs=1e-9)


@given(counted, counted)
def test_it_is_never_negative(before: dict[int, float], now: dict[int, float]) -> None:
    assert popularity_shift(popularity_of(before), gram_of(now)) >= 0


def test_two_bins_by_hand() -> None:
    # One item has 60 %, then 40 %; all else is in no bin, as it was not among the most popular.
    before, now = {1: 60.0, 2: 40.0}, gram_of({1: 40.0, 2: 30.0, 3: 30.0})
    expected = (0.4 - 0.6) * math.log(0.4 / 0.6) + (0.6 - 0.4) * math.log(0.6 / 0.4)
    assert popularity_shift(popularity_of(before, top=1), now) == pytest.approx(expected)


def test_a_new_favorite_is_a_significant_shift_and_a_common_day_is_none() -> None:
    random = np.random.default_rng(0)
    before = {item: 1000 / (item + 1) for item in range(300)}
    a_day_later = {i: n + random.poisson(0.05 * n) for i, n in before.items()}
    assert popularity_shift(popularity_of(before), gram_of(a_day_later)) < 0.01
    assert popularity_shift(popularity_of(before), gram_of(a_day_later | {999: 3000.0})) > 0.25


def test_nothing_to_compare_with_is_no_shift() -> None:
    assert popularity_shift(Popularity(0, 0, {}), gram_of({1: 1})) == 0
