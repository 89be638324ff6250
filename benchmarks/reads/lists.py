"""A generation of lists as the trainer publishes them, made of parts that are encoded once.

An instrument's list is 400 parts out of two tables, joined: what an item's entry begins with, and
how it goes on at each place. Ten million entries are made in a few seconds this way. Which
instruments are neighbors, and how near, is drawn; nothing of it was learned.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

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

Parts = npt.NDArray[np.object_]

MODEL: Final = "cosine"
USER_MODEL: Final = "user-knn"
NEIGHBORS: Final = 200
"""the trainer's default, as are those below"""
OWN_LIST: Final = 50
POPULAR: Final = 200
_SECTOR: Final = 1_000
"""instruments of neighboring popularity, whose neighbors are of the same sector"""
_CURVES: Final = 64
"""how scores may fall along a list"""
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
    n = len(by_popularity)
    heads, tails = _heads(by_popularity), _tails(min(NEIGHBORS, n - 1), rng)
    start, end = _ends()
    for first in range(0, n, _AT_A_TIME):
        ranks = np.arange(first, min(n, first + _AT_A_TIME))
        rows = _joinable(heads[_neighbors(ranks, n, rng)], tails[ranks % _CURVES])
        for rank, row in zip(ranks.tolist(), rows, strict=True):
            yield int(by_popularity[rank]), b"".join((start, *row, end))


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


def _heads(by_popularity: Ints) -> Parts:
    """Return what the entry of each instrument begins with, by its rank."""
    entries = (_encode(Neighbor(str(item), 0, 0)) for item in by_popularity.tolist())
    return np.array([entry.partition(b'"score":')[0] for entry in entries], np.object_)


def _tails(places: int, rng: np.random.Generator) -> Parts:
    """Return how an entry goes on at each place of a list, scores falling, (_CURVES, places)."""
    scores = np.sort(rng.beta(1, 12, (_CURVES, places)))[:, ::-1]
    support = np.sort(rng.geometric(0.02, (_CURVES, places)))[:, ::-1]
    tails = np.empty((_CURVES, places), np.object_)
    for curve, place in np.ndindex(*tails.shape):
        entry = _encode(Neighbor("", float(scores[curve, place]), float(support[curve, place])))
        separator = b"," if place < places - 1 else b""
        tails[curve, place] = entry[entry.index(b'"score":') :] + separator
    return tails


def _ends() -> tuple[bytes, bytes]:
    start, bracket, end = _encode(SimilarList(MODEL, [])).partition(b"[")
    return start + bracket, end


def _joinable(heads: Parts, tails: Parts) -> list[list[bytes]]:
    """Return rows of head, tail, head, tail, ..."""
    rows = np.empty((heads.shape[0], 2 * heads.shape[1]), np.object_)
    rows[:, ::2], rows[:, 1::2] = heads, tails
    joinable: list[list[bytes]] = rows.tolist()
    return joinable
