"""The Gram matrix: what counts must be, wherever they were folded, stored or read."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from contracts.partitioning import row_of

Of = TypeVar("Of")


def gram_matrix(affinities: Any) -> Any:
    """Return G = R^T R, (n_items, n_items), of affinities R, (n_users, n_items), dense or sparse.

    >>> import numpy as np
    >>> gram_matrix(np.array([[1, 2], [0, 3]]))
    array([[ 1,  2],
           [ 2, 13]])
    """
    return affinities.T @ affinities


def gram_of_histories(histories: Iterable[Mapping[int, float]]) -> dict[tuple[int, int], float]:
    """Return G_ij for each pair of items that a history has, of item -> affinity of each user.

    >>> gram_of_histories([{7: 1, 9: 2}, {9: 3}])
    {(7, 7): 1.0, (7, 9): 2.0, (9, 7): 2.0, (9, 9): 13.0}
    """
    counts: dict[tuple[int, int], float] = defaultdict(float)
    for history in histories:
        for i, r_i in history.items():
            for j, r_j in history.items():
                counts[i, j] += r_i * r_j
    return dict(counts)


def stored_once(whole: Mapping[tuple[int, int], Of]) -> dict[tuple[int, int], Of]:
    """Return the entries of G that are stored, by row and column, of all of them.

    >>> stored_once({(7, 7): 1.0, (7, 9): 2.0, (9, 7): 2.0, (7, 8): 3.0, (8, 7): 3.0})
    {(7, 7): 1.0, (7, 9): 2.0, (8, 7): 3.0}
    """
    return {(i, j): of for (i, j), of in whole.items() if row_of(i, j) == i}
