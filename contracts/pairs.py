"""Where a pair of items stands in the Gram matrix G, which is symmetric: in one row, for both.

The diagonal, a pair of an item with itself, stands in the item's own row. Of any other items, those
of an item divide about evenly between its row and theirs, as the sum of two ids is even or odd. So
no row has all of an item's pairs, and no item loses all of its pairs with one row.
"""

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints


def row_of(i: int, j: int) -> int:
    """Return the item whose row has a pair: the lesser one if their sum is even, else the greater.

    >>> row_of(4, 8), row_of(8, 4), row_of(4, 9), row_of(4, 4)
    (4, 4, 9, 4)
    """
    return min(i, j) if (i + j) % 2 == 0 else max(i, j)


def are_in_row(i: Ints, j: Ints) -> npt.NDArray[np.bool_]:
    """Return whether the row of i has the pair, (n,) each, as `row_of`.

    >>> are_in_row(np.array([4, 8, 4, 9]), np.array([8, 4, 9, 4])).tolist()
    [True, False, False, True]
    """
    # The last bit says whether the sum is even, which may itself be beyond 64 bits.
    are_in: npt.NDArray[np.bool_] = ((i ^ j) & 1 == 0) == (i <= j)
    return are_in
