"""Candidates for `auto`, measured on a hold-out as they would be served.

A candidate is a handful of the trainer's settings. What several have in common, counts and lists,
is kept for the next one.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints
from trainer.counts.blocks import blocks
from trainer.counts.derived import counts_of
from trainer.counts.matrices import Matrix
from trainer.generations.report import Tried
from trainer.judging.holdout import Holdout
from trainer.judging.intervals import is_ahead
from trainer.judging.lists import N, Recommended, judge, lists_of, row_blocks, served_lists
from trainer.judging.measures import ndcg, point_values
from trainer.judging.popularity import popular_lists
from trainer.models import USER_KNN, Ranker
from trainer.models.interface import Values
from trainer.settings import TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages

T = TypeVar("T")
PAIRS_PER_BLOCK: Final = 1_000_000
COUNTS_KEPT: Final = 2
LISTS_KEPT: Final = 4


@dataclass(slots=True)
class Trials:
    """Candidates evaluated so far, and the hold-out that they were evaluated on."""

    holdout: Holdout
    rows: Ints
    """the items that need lists: those that someone who is judged has"""
    settings: TrainerSettings
    """whatever a candidate does not set"""
    stages: Stages
    popular: Recommended
    """what continues lists that are too short"""
    tried: list[Tried] = field(default_factory=list)
    ndcg: list[Floats] = field(default_factory=list)
    """(n_users,) of each in `tried`"""
    _counts: dict[str, tuple[Matrix, Floats]] = field(default_factory=dict)
    _lists: dict[str, Matrix] = field(default_factory=dict)
    """of the last candidates, by the settings that lists depend on"""

    @classmethod
    def on(cls, holdout: Holdout, settings: TrainerSettings, stages: Stages) -> "Trials":
        """Return trials on a hold-out."""
        rows = np.unique(holdout.train[holdout.judged].indices).astype(np.int64)
        popular = popular_lists(holdout, settings.config("popular"), N)
        return cls(holdout, rows, settings, stages, popular)

    @property
    def best(self) -> Tried:
        """The candidate with the highest nDCG; of several the first, which is the simplest."""
        return max(self.tried, key=lambda tried: tried.ndcg)

    def leads(self, one: Tried, other: Tried) -> bool:
        """Return whether a candidate predicts better than another one, beyond chance.

        Paired: both were measured on the same users.
        """
        return is_ahead(*(self.ndcg[self.tried.index(each)] for each in (one, other)))

    def measure(self, values: Values) -> Tried:
        """Measure a candidate, unless it was."""
        for tried in self.tried:
            if tried.values == values:
                return tried
        started = time.perf_counter()
        for _ in self.stages.each([values], f"auto: {_short(values)}"):
            settings = changed(self.settings, values)
            recommended = served_lists(
                self.holdout,
                self.popular,
                N,
                own=self._users_lists(settings) if settings.user_model == USER_KNN else None,
                neighbors=self._lists_of(settings),
                fold_in=settings.fold_in,
            )
        judged = judge(self.holdout, recommended)
        found = ndcg(judged)
        self.ndcg.append(found)
        of_all = point_values({}, judged)
        measured = Tried(
            values,
            round(float(found.mean()), 6),
            round(of_all["coverage"], 6),
            round(of_all["personalization"], 6),
            round(time.perf_counter() - started, 3),
        )
        self.tried.append(measured)
        return measured

    def _users_lists(self, settings: TrainerSettings) -> Matrix:
        """Return the users' own lists; others are neighbors only, as many as get a list at all."""
        users, n_users = self.holdout.judged, self.holdout.train.shape[0]
        others = np.setdiff1d(np.arange(n_users), users)
        order = np.concatenate([users, others[: max(settings.active_users - len(users), 0)]])
        ranker = settings.model(USER_KNN).fit(csr_array(self.holdout.stored_rows[order]))
        lists = lists_of(ranker, self.holdout.train.shape[1], row_blocks(len(users)))
        return _spread(lists, users, n_users)

    def _counts_of(self, settings: TrainerSettings) -> tuple[Matrix, Floats]:
        """Return what the item model is fitted to."""
        counting, of = settings.counting(settings.item_model), self.holdout
        made = partial(counts_of, of.histories, of.streamed, counting)
        return _kept(self._counts, repr(counting), COUNTS_KEPT, made)

    def _lists_of(self, settings: TrainerSettings) -> Matrix:
        """Return the lists of the items that need them, (n_items, n_items)."""

        def made() -> Matrix:
            ranker = settings.model(settings.item_model).fit(*self._counts_of(settings))
            return self._ranked(ranker)

        if self.tried:  # others will be varied from the best candidate: its lists are kept longest
            best = _lists_key(changed(self.settings, self.best.values))
            if best in self._lists:
                self._lists[best] = self._lists.pop(best)
        return _kept(self._lists, _lists_key(settings), LISTS_KEPT, made)

    def _ranked(self, ranker: Ranker) -> Matrix:
        n_items = self.holdout.streamed.shape[0]
        sizes = np.diff(self.holdout.streamed.indptr)[self.rows].astype(np.int64) + 1
        cuts = blocks(sizes, PAIRS_PER_BLOCK)
        lists = lists_of(ranker, n_items, [self.rows[start:stop] for start, stop in cuts])
        return _spread(lists, self.rows, n_items)


def _lists_key(settings: TrainerSettings) -> str:
    """Return what lists depend on."""
    model = settings.config(settings.item_model).model_dump_json()
    return f"{settings.item_model} {model} {settings.counts.model_dump_json()}"


def _kept(made: dict[str, T], key: str, n: int, make: Callable[[], T]) -> T:
    """Return what was made lately under that key, or make it; the last n are kept."""
    if key not in made:
        while len(made) >= n:
            made.pop(next(iter(made)))
        made[key] = make()
    return made[key]


def _spread(some: Matrix, rows: Ints, n_rows: int) -> Matrix:
    """Return a matrix of n_rows that has `some` at `rows`, ascending; the others are empty."""
    lengths = np.zeros(n_rows, np.int64)
    lengths[rows] = np.diff(some.indptr)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return csr_array((some.data, some.indices, indptr), (n_rows, some.shape[1]))


def _short(values: Mapping[str, Any]) -> str:
    shown = (v for name, v in values.items() if not name.endswith("_model"))
    numbers = (f"{v:g}" for v in shown if isinstance(v, int | float))
    return f"{values['item_model']} {' '.join(numbers)}"
