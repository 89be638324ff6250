"""Matrices to fit models to, and their lists in a form that is easily compared."""

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from tests.examples import examples
from tests.oracles.gram import gram_matrix
from trainer.counts.matrices import Matrix
from trainer.models import Model
from trainer.models.ranking import Ranking

# A slow machine is no finding.
fewer = examples(50)

Affinities = npt.NDArray[np.float64]
"""(n_users, n_items) R"""


def csr(dense: npt.ArrayLike) -> Matrix:
    made: Matrix = csr_array(np.asarray(dense, np.float64))
    return made


def gram(affinities: Affinities) -> Matrix:
    return csr(gram_matrix(affinities))


def checkerboard() -> Affinities:
    return np.indices((6, 8)).sum(axis=0) % 2 * 1.0


def _shapes(largest: int = 8) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(1, largest), st.integers(1, largest))


def binary() -> st.SearchStrategy[Affinities]:
    return arrays(np.float64, _shapes(), elements=st.sampled_from([0.0, 1.0]))


def weighted() -> st.SearchStrategy[Affinities]:
    return arrays(np.float64, _shapes(), elements=st.just(0.0) | st.floats(1e-3, 1e6))


def ranking_of(model: Model, of: Matrix, users: Affinities | None = None) -> Ranking:
    ranker = model.fit(of, users)
    return ranker.rank(np.arange(ranker.n_rows))


def lists(ranking: Ranking) -> list[list[tuple[int, float]]]:
    pairs = list(zip(ranking.columns.tolist(), ranking.scores.tolist(), strict=True))
    return [pairs[a:b] for a, b in zip(ranking.indptr[:-1], ranking.indptr[1:], strict=True)]


def ranked(model: Model, of: Matrix) -> list[list[tuple[int, float]]]:
    return lists(ranking_of(model, of))


def scores(model: Model, of: Matrix, users: Affinities | None = None) -> Affinities:
    """Return (n_rows, n_items) the scores in the lists, 0 where an item is in none."""
    ranking = ranking_of(model, of, users)
    made = csr_array(
        (ranking.scores, ranking.columns, ranking.indptr), shape=(len(ranking), of.shape[1])
    )
    return made.toarray()


def near(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> bool:
    """Return whether two arrays of scores differ by floating noise only."""
    scale = max(1.0, float(np.abs(one).max(initial=0)))
    return one.shape == other.shape and bool((np.abs(one - other) <= 1e-9 * scale).all())
