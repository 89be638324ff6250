"""From rankings to the lists that readers get, as `contracts.keyspace` encodes them. Pure."""

from collections.abc import Iterable
from itertools import pairwise

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
from contracts.messages import Floats, Ints
from trainer.models.ranking import Ranking

Names = npt.NDArray[np.object_]
"""(n_items,) item ids as text; indexed by column"""

_encode = msgspec.json.Encoder().encode


def names_of(items: Ints) -> Names:
    """Return the item ids as text."""
    return np.array([str(item) for item in items.tolist()], np.object_)


def similar_lists(ranking: Ranking, names: Names, model: str) -> list[bytes]:
    """Return a `SimilarList` for each row."""
    neighbors = list(
        map(
            Neighbor,
            names[ranking.columns].tolist(),
            ranking.scores.tolist(),
            ranking.support.tolist(),
        )
    )
    return [_encode(SimilarList(model, neighbors[a:b])) for a, b in _rows(ranking)]


def user_lists(
    ranking: Ranking, names: Names, model: str, offsets: Iterable[LogPosition]
) -> list[bytes]:
    """Return a `UserList` for each row, whose history stood at the position of the same place."""
    because = [[names[j] for j in reasons if j >= 0] for reasons in ranking.because.tolist()]
    recommended = list(
        map(Recommendation, names[ranking.columns].tolist(), ranking.scores.tolist(), because)
    )
    return [
        _encode(UserList(model, offset, recommended[a:b]))
        for offset, (a, b) in zip(offsets, _rows(ranking), strict=True)
    ]


def popular_list(ranking: Ranking, names: Names, model: str, own: Floats) -> bytes:
    """Return the `PopularList` of the only row; `own`, (n_items,), is G_ii."""
    popular = map(
        Popular,
        names[ranking.columns].tolist(),
        ranking.scores.tolist(),
        own[ranking.columns].tolist(),
    )
    is_whole = len(ranking.columns) == int(np.count_nonzero(own))
    return _encode(PopularList(model, list(popular), is_whole))


def _rows(ranking: Ranking) -> Iterable[tuple[int, int]]:
    return pairwise(ranking.indptr.tolist())
