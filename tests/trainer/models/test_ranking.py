"""The best n of each row, the neighbors that matter most, and blocks of work."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from contracts.fold_in import SCORE_DECIMALS
from tests.trainer.models.made import csr, lists
from trainer.counts.blocks import blocks
from trainer.models.ranking import best_neighbors, top_n

# Few values, so that nearly everything ties.
tied = arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=st.integers(0, 3)
)


@given(
    scores=tied,
    unit=st.sampled_from([1, 10.0**-SCORE_DECIMALS, -0.1, 1e6, 1e300]),
    n=st.integers(1, 10),
    data=st.data(),
)
def test_the_best_n_go_by_score_then_support_then_column(
    scores: npt.NDArray[np.float64], unit: float, n: int, data: st.DataObject
) -> None:
    """Whether scores and places fit into one integer or not."""
    of = csr_array(scores) * unit
    support = data.draw(arrays(np.float64, of.nnz, elements=st.integers(0, 2)))
    ranking = top_n(of, support, n)
    for row in range(of.shape[0]):
        entries = range(of.indptr[row], of.indptr[row + 1])
        best = sorted(entries, key=lambda e: (-of.data[e], -support[e], of.indices[e]))[:n]
        found = slice(ranking.indptr[row], ranking.indptr[row + 1])
        assert ranking.columns[found].tolist() == [of.indices[e] for e in best]
        assert ranking.scores[found].tolist() == [of.data[e] for e in best]
        assert ranking.support[found].tolist() == [support[e] for e in best]


@given(sizes=st.lists(st.integers(0, 20)), budget=st.integers(1, 30))
def test_blocks_cover_all_rows_in_order_within_the_budget(sizes: list[int], budget: int) -> None:
    cut = blocks(np.array(sizes, np.int64), budget)
    assert [row for start, stop in cut for row in range(start, stop)] == list(range(len(sizes)))
    assert all(sum(sizes[a:b]) <= budget or b == a + 1 for a, b in cut)


# Few values, so that nearly everything ties.
counted = arrays(
    np.float64, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=st.integers(0, 3)
)


@given(counts=counted, start=st.integers(0, 3), n=st.integers(1, 10), data=st.data())
def test_the_largest_n_by_absolute_value_are_kept_ties_by_support_then_by_item(
    counts: npt.NDArray[np.float64], start: int, n: int, data: st.DataObject
) -> None:
    block = csr(counts)
    scores = data.draw(
        arrays(np.float64, block.nnz, elements=st.sampled_from([-2.0, -1.0, -0.5, 0, 0.5, 1, 2]))
    )
    ranking = best_neighbors(block, scores, np.arange(start, start + len(counts)), n)
    for row, found in enumerate(lists(ranking)):
        entries = [
            (scores[e], block.data[e], int(block.indices[e]))
            for e in range(block.indptr[row], block.indptr[row + 1])
            if scores[e] and block.indices[e] != start + row
        ]
        # Of equal size, what is in the row first is kept; support decides among equal scores.
        kept = sorted(entries, key=lambda entry: (-abs(entry[0]), -entry[1], entry[2]))[:n]
        in_order = sorted(kept, key=lambda entry: (-entry[0], -entry[1], entry[2]))
        assert found == [(item, score) for score, _, item in in_order]
        support = ranking.support[ranking.indptr[row] : ranking.indptr[row + 1]]
        assert support.tolist() == [support_of for _, support_of, _ in in_order]
