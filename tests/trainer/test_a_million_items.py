"""Of a million items, nothing has a cell for each pair, and no cell's number is too large.

Few items that are far apart have the counts, lists and figures that they have alone.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints
from contracts.times import DAY_MS
from tests.trainer.models.made import lists
from trainer.counts.derived import Counting, CountsConfig, Histories, counts_of, without
from trainer.counts.matrices import Matrix
from trainer.counts.order import Order
from trainer.models import ITEM_MODELS, MODELS

MILLION: Final = 1_000_000
USERS: Final = 60
FEW: Final = 12
RNG: Final = np.random.default_rng(0)
FAR: Final[Ints] = np.array(
    [0, *np.sort(RNG.choice(MILLION - 2, FEW - 2, replace=False)) + 1, MILLION - 1]
)
"""Where the few items stand among a million."""
HAVE: Final = (RNG.random((USERS, FEW)) < 0.5).astype(np.float64)
TS_MS: Final[Ints] = RNG.integers(0, 200, int(HAVE.sum())) * DAY_MS
ORDER: Final = Order(0.3, 0.5)


def far(few: npt.NDArray[np.float64]) -> Matrix:
    """Return (n_users, a million) what users have of few items."""
    made = csr_array(few)
    return csr_array((made.data, FAR[made.indices], made.indptr), (len(few), MILLION))


def in_wide_numbers(some: Matrix) -> Matrix:
    """Return the same matrix with the indices that one of more than 2^31 entries has."""
    some.indices, some.indptr = some.indices.astype(np.int64), some.indptr.astype(np.int64)
    return some


def of_few(counts: Matrix) -> Floats:
    """Return (few, few) the counts of a million items, of which all others have none."""
    found: Floats = counts[FAR][:, FAR].toarray()
    assert np.count_nonzero(found) == counts.nnz
    return found


@pytest.mark.parametrize(
    "counting",
    [
        Counting(CountsConfig(user_weight_exponent=0.5)),
        Counting(CountsConfig(half_life_days=30)),
        Counting(CountsConfig(), ORDER),
    ],
)
def test_histories_are_counted_as_those_of_few_items(counting: Counting) -> None:
    streamed = csr_array(far(HAVE[:30]).T @ far(HAVE[:30]))
    found, _ = counts_of(Histories(far(HAVE), TS_MS), streamed, counting)
    few = csr_array(HAVE[:30].T @ HAVE[:30])
    expected, _ = counts_of(Histories(csr_array(HAVE), TS_MS), few, counting)
    assert (of_few(found) == expected.toarray()).all()


@pytest.mark.parametrize("wide", [False, True])
def test_what_is_held_out_is_subtracted_as_from_few_items(*, wide: bool) -> None:
    gram, before, after = csr_array(far(HAVE).T @ far(HAVE)), far(HAVE[:9]), far(HAVE[:9] / 2)
    found = without(in_wide_numbers(gram) if wide else gram, before, after)
    assert (of_few(found) == HAVE.T @ HAVE - HAVE[:9].T @ HAVE[:9] * 0.75).all()


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", ITEM_MODELS)
def test_items_have_the_lists_that_they_have_among_few(name: str, *, wide: bool) -> None:
    local = {"exact_items": 0} if name == "ease" else {}
    model = MODELS[name].model(MODELS[name].config(), **local)
    gram = csr_array(far(HAVE).T @ far(HAVE))
    gram.sort_indices()
    found = lists(model.fit(in_wide_numbers(gram) if wide else gram).rank(FAR))
    among_few = lists(model.fit(csr_array(HAVE.T @ HAVE)).rank(np.arange(FEW)))
    assert found == [[(int(FAR[j]), score) for j, score in row] for row in among_few]
