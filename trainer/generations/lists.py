"""From rankings to the lists that readers get, as `contracts.keyspace` encodes them. Pure."""

from collections.abc import Iterable
from itertools import pairwise, starmap

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

    def neighbors(row: slice) -> list[Neighbor]:
        items, scores, support = ranking.columns[row], ranking.scores[row], ranking.support[row]
        return list(map(Neighbor, names[items].tolist(), scores.tolist(), support.tolist()))

    # Row by row, so that its neighbors are still in the processor's cache when they are encoded.
    return [_encode(SimilarList(model, neighbors(row))) for row in _rows(ranking)]


def user_lists(
    ranking: Ranking, names: Names, model: str, offsets: Iterable[LogPosition]
) -> list[bytes]:
    """Return a `UserList` for each row, whose history stood at the position of the same place."""

    def recommended(row: slice) -> list[Recommendation]:
        items, scores = names[ranking.columns[row]].tolist(), ranking.scores[row].tolist()
        because = [
            [names[j] for j in reasons if j >= 0] for reasons in ranking.because[row].tolist()
        ]
        return list(map(Recommendation, items, scores, because))

    return [
        _encode(UserList(model, offset, recommended(row)))
        for offset, row in zip(offsets, _rows(ranking), strict=True)
    ]


def popular_list(
    ranking: Ranking, names: Names, model: str, own: Floats, *, is_whole: bool
) -> bytes:
    """Return the `PopularList` of the only row; `own`, (n_items,), is G_ii."""
    popular = map(
        Popular,
        names[ranking.columns].tolist(),
        ranking.scores.tolist(),
        own[ranking.columns].tolist(),
    )
    return _encode(PopularList(model, list(popular), is_whole))


def _rows(ranking: Ranking) -> Iterable[slice]:
    """Return where the entries of each row are."""
    return starmap(slice, pairwise(ranking.indptr.tolist()))
