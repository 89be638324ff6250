"""Where a pair of items stands in the Gram matrix G, which is symmetric: in one row, for both.

The diagonal, a pair of an item with itself, stands in the item's own row. Of any other items, those
of an item divide about evenly between its row and theirs, as the sum of two ids is even or odd. So
no row has all of an item's pairs, and no item loses all of its pairs with one row.
"""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.messages import Ints

FORM: Final = {"pairs": "once"}
"""What `folding` of a position of `cooccurrences` says of counts that are stored so. Before, each
pair stood in two rows, and `folding` was empty."""


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


def refusal(where: str, form: str | None) -> str | None:
    """Return what is wrong with counts of another form, and the remedy; None if they are of ours.

    Args:
        where: the partition.
        form: as its position has it in `folding`; None: it has no counts yet.
    """
    if form is None or msgspec.json.decode(form) == FORM:
        return None
    return (
        f"the counts in Redis of {where} are of another form: {form}, not {FORM}. If it is older, "
        "stop workers and trainer, and run `python -m operations.counts rebuild`: the workers then "
        "fold the counts again; if it is newer, upgrade this program"
    )
