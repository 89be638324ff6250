"""Item cosine against scikit-learn's, and what its settings do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.cosine import cosine_similarity
from tests.trainer.models.made import (
    Affinities,
    binary,
    csr,
    fewer,
    gram,
    ranked,
    scores,
    weighted,
)
from trainer.models.cosine import Cosine, CosineConfig
from trainer.models.popular import Popular, PopularConfig


@fewer
@given(affinities=binary() | weighted())
def test_cosine_is_that_of_scikit_learn(affinities: Affinities) -> None:
    expected = cosine_similarity(affinities.T)
    np.fill_diagonal(expected, 0)
    assert np.abs(scores(Cosine(CosineConfig()), gram(affinities)) - expected).max() < 1e-12


def test_popularity_damping_divides_by_more_of_the_neighbors_count() -> None:
    of = csr([[4, 3], [3, 9]])
    config = CosineConfig(popularity_damping=0.75)
    assert ranked(Cosine(config), of)[0] == [(1, pytest.approx(3 / (4**0.25 * 9**0.75)))]


@fewer
@given(affinities=binary(), removed=st.integers(0, 9), neighbors=st.integers(1, 9))
def test_removed_are_the_first_of_the_popular_list_and_nothing_else_changes(
    affinities: Affinities, removed: int, neighbors: int
) -> None:
    of = gram(affinities)
    (popular,) = ranked(Popular(PopularConfig(items=removed or 1)), of)
    gone = {item for item, _ in popular[:removed]}
    whole = ranked(Cosine(CosineConfig()), of)
    config = CosineConfig(popular_removed=removed)
    assert ranked(Cosine(config, neighbors), of) == [
        [(j, score) for j, score in of_item if j not in gone][:neighbors] for of_item in whole
    ]


def test_cosine_stays_at_one_while_a_row_is_newer_than_the_other() -> None:
    assert ranked(Cosine(CosineConfig()), csr([[5, 5], [4, 4]]))[0] == [(1, 1.0)]
