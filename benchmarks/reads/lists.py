"""A generation of lists as the trainer publishes them.

Which instruments are neighbors, and how near, is drawn; nothing of it was learned.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from contracts.generations import (
    Neighbor,
    Popular,
    PopularList,
    Recommendation,
    SimilarList,
    UserList,
)
from contracts.log_position import LogPosition
from contracts.messages import Ints

MODEL: Final = "cosine"
USER_MODEL: Final = "user-knn"
NEIGHBORS: Final = 200
"""the trainer's default, as are those below"""
OWN_LIST: Final = 50
POPULAR: Final = 200
_SECTOR: Final = 1_000
"""instruments of neighboring popularity, whose neighbors are of the same sector"""
_REASONS: Final = 3
_AT_A_TIME: Final = 1_000
_PLACES_APART: Final = 8
"""Between the items of users' own lists: so the million of them have different ones."""

_encode = msgspec.json.Encoder().encode


def similar_lists(by_popularity: Ints, rng: np.random.Generator) -> Iterator[tuple[int, bytes]]:
    """Return each instrument and its encoded `SimilarList`.

    Args:
        by_popularity: the instruments' ids, most popular first, (n_instruments,).
        rng: draws neighbors, scores and supports.
    """
    n, names = len(by_popularity), [str(item) for item in by_popularity.tolist()]
    for first in range(0, n, _AT_A_TIME):
        neighbors = _neighbors(np.arange(first, min(n, first + _AT_A_TIME)), n, rng)
        scores = np.sort(rng.beta(1, 12, neighbors.shape))[:, ::-1].tolist()
        support = np.sort(rng.geometric(0.02, neighbors.shape))[:, ::-1].astype(float).tolist()
        for rank, its in enumerate(zip(neighbors.tolist(), scores, support, strict=True), first):
            items = [Neighbor(names[other], *more) for other, *more in zip(*its, strict=True)]
            yield int(by_popularity[rank]), _encode(SimilarList(MODEL, items))


def popular_list(by_popularity: Ints) -> bytes:
    """Return the encoded `PopularList`."""
    first = by_popularity[:POPULAR].tolist()
    scores = [1e6 / (rank + 1) for rank in range(len(first))]
    items = [*map(Popular, map(str, first), scores, scores)]
    return _encode(PopularList("popular", items))


def own_list(user: int, by_popularity: Ints) -> bytes:
    """Return the encoded `UserList` of a user whose history stands at offset `user`."""
    places = (user * _PLACES_APART + np.arange(OWN_LIST + _REASONS)) % len(by_popularity)
    items = [str(item) for item in by_popularity[places].tolist()]
    recommended = [
        Recommendation(items[place], 1 / (1.37 + place), items[place + 1 : place + 1 + _REASONS])
        for place in range(OWN_LIST)
    ]
    return _encode(UserList(USER_MODEL, LogPosition(0, user), recommended))


def _neighbors(ranks: Ints, n: int, rng: np.random.Generator) -> Ints:
    """Return the ranks of each one's neighbors, (n_ranks, n_neighbors), all different."""
    size = min(_SECTOR, n)
    others = min(NEIGHBORS, size - 1)
    # Steps from 1 to the sector's size less 1 lead to each of the others.
    order = rng.random((len(ranks), size - 1))
    steps = 1 + np.argpartition(order, others - 1, axis=1)[:, :others]
    # The last sector may be short, so it begins earlier.
    first = np.minimum(ranks // size * size, n - size)[:, None]
    found: Ints = first + (ranks[:, None] - first + steps) % size
    return found
