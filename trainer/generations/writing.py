"""Writes one generation: fits its models, then ranks and writes their lists block by block.

No result is ever whole in memory. Publishing the generation is up to
`trainer.run.placing`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, starmap
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
from contracts.keyspace import Keyspace
from contracts.log_position import LogPosition
from contracts.messages import Floats, Ints
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Gram, Matrix, UserItems, cells, cells_of, entry_rows, places_in
from trainer.generations.publication import Publication
from trainer.generations.report import Lists
from trainer.models import Model, Ranker
from trainer.models.ranking import Ranking
from trainer.stages import Stages

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


PAIRS_PER_BLOCK: Final = 100_000
"""What a block is ranked from stays in the processor's caches: of five times as many pairs, each
takes twice as long."""
USERS_PER_BLOCK: Final = 200


@dataclass(frozen=True, slots=True)
class Models:
    """What the lists of a generation are made by."""

    items: Model
    users: Model | None
    """None: nobody gets a list of their own"""
    popular: Model


@dataclass(frozen=True, slots=True)
class Writing:
    """Where the lists of a generation go."""

    made: Publication
    keyspace: Keyspace
    stages: Stages

    def write(
        self,
        models: Models,
        gram: Gram,
        counts: tuple[Matrix, Floats],
        recent: Matrix,
        user_items: UserItems,
    ) -> Lists:
        """Write every list, and return how much that was.

        Args:
            models: what the lists are made by.
            gram: the workers' counts: what lists say of support.
            counts: what the item model is fitted to: of pairs, (n_items, n_items), and of users.
            recent: (n_items, n_items) what the popular list is made from.
            user_items: of the users who get a list.
        """
        own_lists = 0 if models.users is None else self._write_users(models.users, user_items)
        return Lists(
            similar=len(gram.items),
            similar_entries=self._write_similar(models.items, gram, *counts),
            user=0 if models.users is None else len(user_items.users),
            user_entries=own_lists,
            popular_entries=self._write_popular(models.popular, gram, recent),
        )

    def _write_similar(self, model: Model, gram: Gram, counts: Matrix, users: Floats) -> int:
        names = names_of(gram.items)
        keys = [self.keyspace.model_similar(self.made.generation, item) for item in names]
        with self.stages.timed("fit item model"):
            ranker = model.fit(counts, users)
        sizes = np.diff(counts.indptr).astype(np.int64)

        def values(ranking: Ranking, start: int, stop: int) -> dict[str, bytes]:
            if counts is not gram.counts:
                ranking = supported(ranking, gram.counts[start:stop])
            lists = similar_lists(ranking, names, model.name)
            return dict(zip(keys[start:stop], lists, strict=True))

        return self._write_lists(
            ranker,
            blocks(sizes, PAIRS_PER_BLOCK),
            "item lists",
            values,
        )

    def _write_users(self, model: Model, user_items: UserItems) -> int:
        names = names_of(user_items.items)
        keys = [self.keyspace.model_user(self.made.generation, user) for user in user_items.users]
        offsets = user_items.offsets
        with self.stages.timed("fit user model"):
            ranker = model.fit(user_items.affinities)
        return self._write_lists(
            ranker,
            blocks(np.ones(len(keys), np.int64), USERS_PER_BLOCK),
            "user lists",
            lambda ranking, start, stop: dict(
                zip(
                    keys[start:stop],
                    user_lists(ranking, names, model.name, offsets[start:stop]),
                    strict=True,
                )
            ),
        )

    def _write_popular(self, model: Model, gram: Gram, recent: Matrix) -> int:
        ranking = model.fit(recent).rank(np.zeros(1, np.int64))
        own, is_whole = gram.counts.diagonal(), len(ranking.columns) == recent.nnz
        value = popular_list(ranking, names_of(gram.items), model.name, own, is_whole=is_whole)
        self.made.write({self.keyspace.model_popular(self.made.generation): value})
        return len(ranking.columns)

    def _write_lists(
        self,
        ranker: Ranker,
        of_rows: Sequence[tuple[int, int]],
        title: str,
        values: Callable[[Ranking, int, int], dict[str, bytes]],
    ) -> int:
        """Rank block by block, write each under its keys, and return the number of entries."""
        entries = 0
        for start, stop in self.stages.each(of_rows, title):
            with self.stages.timed(f"rank {title}"):
                ranking = ranker.rank(np.arange(start, stop))
            with self.stages.timed(f"write {title}"):
                self.made.write(values(ranking, start, stop))
            entries += len(ranking.columns)
        return entries


def supported(ranking: Ranking, counts: Matrix) -> Ranking:
    """Return a ranking with the workers' count of each entry as its `support`.

    Args:
        ranking: of n_rows rows.
        counts: (n_rows, n_items) their rows of G.
    """
    wanted = cells(entry_rows(ranking.indptr), ranking.columns, counts.shape[1])
    places, known = places_in(cells_of(counts), wanted)
    support = np.zeros(len(wanted))
    support[known] = counts.data[places[known]]
    return replace(ranking, support=support)
