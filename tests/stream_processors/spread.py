"""All changes of G, including those of leaving users."""

from collections.abc import Iterator

import numpy as np

from contracts.changes import Changes
from contracts.pairs import are_in_row
from stream_processors.cooccurrences.sums import Rows, rows_of


def spread(changes: Changes) -> Iterator[Rows]:
    """Yield all entries that changes touch."""
    yield from rows_of(changes, lambda items: items)
    for one in changes.taken_out:
        i, j = np.repeat(one.i, len(one.j)), np.tile(one.j, len(one.i))
        rows = Rows(i, j, -np.outer(one.r_i, one.r_j).ravel())
        yield rows.where(are_in_row(i, j))
