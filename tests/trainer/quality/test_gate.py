"""Valid data passes; each kind of damage is found, reported and stopped.

The shift of popularity is the population stability index, over deciles of what was popular.
"""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.sparse import csr_array

from contracts.partitioning import are_in_row
from tests.oracles.gram import gram_matrix
from trainer.counts.matrices import Gram
from trainer.quality.checking import Checked, QualityConfig, check
from trainer.quality.figures import Popularity, popularity_shift
from trainer.quality.reporting import BadDataError, pass_or_raise

LIMITS = QualityConfig()

Counts = npt.NDArray[np.float64]


def gram_of(counts: Counts, below_zero: float = 0) -> Gram:
    return Gram(100 + np.arange(len(counts)), csr_array(np.maximum(counts, 0)), below_zero)


def counts_of(users: int = 200, items: int = 40, seed: int = 0) -> Counts:
    affinities = (np.random.default_rng(seed).random((users, items)) < 0.2) * 1.0
    return gram_matrix(affinities)


def checked(
    counts: Counts,
    *,
    below_zero: float = 0,
    before: Popularity | None = None,
    limits: QualityConfig = LIMITS,
) -> dict[str, Checked]:
    return {rule.rule: rule for rule in check(gram_of(counts, below_zero), before, limits)}


def popularity_of(own: dict[int, float], top: int = 200) -> Popularity:
    ordered = sorted(own.items(), key=lambda entry: (-entry[1], entry[0]))[:top]
    return Popularity(len(own), sum(own.values()), dict(ordered))


def own_of(counts: Counts) -> dict[int, float]:
    own = counts.diagonal()
    return {100 + int(i): float(own[i]) for i in np.flatnonzero(own)}


@given(
    arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.integers(1, 8)),
        elements=st.sampled_from([0.0, 1.0, 0.25, 3.7, 1e-3, 1e6]),
    )
)
def test_the_gram_matrix_of_any_affinities_breaks_no_hard_rule(affinities: Counts) -> None:
    counts = gram_matrix(affinities)
    found = check(gram_of(counts), popularity_of(own_of(counts)), LIMITS)
    assert [rule for rule in found if rule.level == "hard" and not rule.holds] == []


def test_pairs_of_a_partition_that_lost_counts_are_beyond_the_bound() -> None:
    counts = counts_of()
    rows, columns = np.indices(counts.shape)
    is_lost = np.where(are_in_row(100 + rows, 100 + columns), rows, columns) % 4 == 0
    counts[is_lost] *= 0.03  # in the rows of one partition of four
    found = checked(counts)
    assert not found["beyond"].holds
    assert set(found["beyond"].items) <= {100 + i for i in range(40)}
    with pytest.raises(BadDataError, match=r"beyond: share of the counts .* such as items 1\d\d"):
        pass_or_raise(list(found.values()))


def test_an_own_count_that_is_too_low_puts_its_pairs_beyond_the_bound() -> None:
    counts = counts_of()
    np.fill_diagonal(counts, counts.diagonal() * 0.01)
    assert not checked(counts)["beyond"].holds
    np.fill_diagonal(counts, 0)
    assert checked(counts)["own"].value == 1


def test_items_that_are_gone_are_stopped() -> None:
    before = popularity_of(own_of(counts_of(items=100)))
    assert checked(counts_of(items=51), before=before)["items_kept"].holds
    found = checked(counts_of(items=49), before=before)
    assert found["items_kept"].value == 0.49
    with pytest.raises(BadDataError, match=r"items_kept.* is 0\.49, the limit is 0\.5"):
        pass_or_raise(list(found.values()))


def test_many_items_of_one_user_are_reported_and_do_not_stop_publication() -> None:
    counts = np.eye(20)
    counts[0, 0] = 5
    found = checked(counts)
    assert found["single_user"].value == 0.95
    assert pass_or_raise(list(found.values())) == [found["single_user"]]


def own_gram(own: dict[int, float]) -> Gram:
    items = np.array(sorted(own), np.int64)
    return Gram(items, csr_array(np.diag([own[int(item)] for item in items])))


def test_a_shift_over_two_bins_is_that_by_hand() -> None:
    # One item has 60 %, then 40 %; all else is in no bin, as it was not among the most popular.
    before, now = {1: 60.0, 2: 40.0}, own_gram({1: 40.0, 2: 30.0, 3: 30.0})
    expected = (0.4 - 0.6) * math.log(0.4 / 0.6) + (0.6 - 0.4) * math.log(0.6 / 0.4)
    assert popularity_shift(popularity_of(before, top=1), now) == pytest.approx(expected)


def test_items_of_a_tenth_of_the_counts_share_a_bin() -> None:
    before, now = {1: 50.0, 2: 30.0, 3: 20.0}, own_gram({1: 20.0, 2: 30.0, 3: 50.0})
    expected = (0.2 - 0.5) * math.log(0.2 / 0.5) + (0.5 - 0.2) * math.log(0.5 / 0.2)
    assert popularity_shift(popularity_of(before, top=3), now) == pytest.approx(expected)
