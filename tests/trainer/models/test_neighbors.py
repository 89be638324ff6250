"""Of each item's row, the neighbors that matter most are kept: those with the largest scores."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.trainer.models.made import csr, lists
from trainer.models.neighbors import best_neighbors

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
