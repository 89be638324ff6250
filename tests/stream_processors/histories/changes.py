"""G as changes of histories make it."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stream_processors.histories.fold import Change, Leaving

N_ITEMS = 6
NO_CAP = 500

Matrix = npt.NDArray[np.float64]


def gram_of(changes: Sequence[Change | Leaving]) -> Matrix:
    """Return the sum of the changes, (N_ITEMS, N_ITEMS)."""
    gram = np.zeros((N_ITEMS, N_ITEMS))
    for change in changes:
        add(gram, change)
    return gram


def gram_by_offset(changes: Sequence[Change]) -> dict[int, list[list[float]]]:
    """Return what each offset changes, exactly."""
    of_offset: dict[int, list[Change]] = defaultdict(list)
    for change in changes:
        of_offset[change.offset].append(change)
    return {offset: gram_of(its).tolist() for offset, its in of_offset.items()}


def add(gram: Matrix, change: Change | Leaving) -> None:
    """Apply a change to G."""
    if isinstance(change, Leaving):
        gram[np.ix_(change.item, change.item)] -= np.outer(change.affinity, change.affinity)
        return
    assert change.j[-1] == change.item
    np.add.at(gram, (change.item, change.j), change.delta)
    np.add.at(gram, (change.j[:-1], change.item), change.delta[:-1])
