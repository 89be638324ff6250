"""`ordered` ranks by what came next; dampings and units as in its formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.trainer.models.made import csr, fewer, ranked, scores
from trainer.counts.order import Order, ordered
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


def test_what_users_take_next_stands_before_what_they_took_before() -> None:
    sequel_after_game = csr(np.ones((3, 2)))
    ts_ms = np.array([1, 2] * 3)
    config = OrderedConfig()
    (of_game,), (of_sequel,) = ranked(
        Ordered(config), ordered(sequel_after_game, ts_ms, config.order)
    )
    assert (of_game[0], of_sequel[0]) == (1, 0)
    assert of_sequel[1] == pytest.approx(0.3 * of_game[1])
    assert config.order == Order(0.3, 0.5)
