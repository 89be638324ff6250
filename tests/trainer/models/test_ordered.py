"""`ordered` ranks by what came next; dampings and units as in its formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.trainer.models.made import csr, fewer, scores
from trainer.counts.order import Order
from trainer.models.ordered import Ordered, OrderedConfig

counts = st.integers(1, 8).flatmap(
    lambda n: arrays(np.float64, (n, n), elements=st.sampled_from([0.0, 0.25, 1, 3, 40]))
)


@fewer
@given(t=counts, alpha=st.sampled_from([0.0, 0.8, 1]), beta=st.sampled_from([0.0, 0.1, 0.5]))
def test_scores_are_those_of_the_formula(t: np.ndarray, alpha: float, beta: float) -> None:
    own = t.diagonal()
    expected = np.zeros_like(t)
    for i, j in zip(*np.nonzero(t), strict=True):
        if i != j and own[i] and own[j]:
            unit = own.max() ** (1 - alpha - beta)
            expected[i, j] = t[i, j] / (own[i] ** alpha * own[j] ** beta) / unit
    model = Ordered(OrderedConfig(own_damping=alpha, popularity_damping=beta))
    assert scores(model, csr(t)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_what_came_before_counts_less_than_what_came_next_unless_set_otherwise() -> None:
    assert OrderedConfig().order == Order(0.3, 0.5)
