"""Candidates for `auto`, measured on a hold-out as they would be served.

A candidate is a handful of the trainer's settings. What several have in common, counts and lists,
is kept for the next one. An expensive one is measured on few users, and compared on these.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

import numpy as np
from scipy.sparse import csr_array

from contracts.generations import Repeats
from contracts.messages import Floats, Ints
from trainer.counts.blocks import blocks
from trainer.counts.derived import counts_of
from trainer.counts.matrices import Matrix, entries_where, entry_rows
from trainer.generations.report import Tried
from trainer.judging.holdout import Holdout
from trainer.judging.intervals import is_ahead
from trainer.judging.lists import Made, N, Recommended, judge, lists_of, row_blocks, served_lists
from trainer.judging.measures import ndcg, point_values
from trainer.judging.popularity import popular_lists
from trainer.judging.repeats import judge_repeats
from trainer.models import USER_KNN
from trainer.models.ease import EXACT_ITEMS, Ease
from trainer.models.interface import Values
from trainer.settings import TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages

T = TypeVar("T")
PAIRS_PER_BLOCK: Final = 1_000_000
KEPT: Final = 2  # counts, and lists, of the last candidates
ROWS_MOST: Final = 12_000
"""Items whose lists a candidate makes, where each of them is expensive."""


@dataclass(slots=True)
class Trials:
    """Candidates evaluated so far, and the hold-out that they were evaluated on."""

    holdout: Holdout
    few: Holdout
    """the same with fewer users to judge, for expensive candidates"""
    settings: TrainerSettings
    """whatever a candidate does not set"""
    stages: Stages
    popular: Recommended
    """what continues lists that are too short"""
    measured: Callable[[Tried], None] = lambda _: None
    """is called with each candidate"""
    tried: list[Tried] = field(default_factory=list)
    ndcg: list[Floats] = field(default_factory=list)
    """(n_users,) of each in `tried`; NaN of users that it was not measured on"""
    _counts: dict[str, tuple[Matrix, Floats]] = field(default_factory=dict)
    _lists: dict[str, Matrix] = field(default_factory=dict)
    """of the last candidates, by the settings that lists depend on"""

    @classmethod
    def on(cls, holdout: Holdout, settings: TrainerSettings, stages: Stages) -> "Trials":
        """Return trials on a hold-out."""
        popular = popular_lists(holdout, settings.config("popular"), N)
        few = _of_fewer_items(holdout) if holdout.test.shape[1] > EXACT_ITEMS else holdout
        return cls(holdout, few, settings, stages, popular)

    @property
    def best(self) -> Tried:
        """The candidate with the highest nDCG; of several the first, which is the simplest.

        One that was measured on few users must lead over the best of the others, beyond chance.
        """
        of_each = (self.measured_on(few=few) for few in (False, True))
        best, *few = (max(some, key=lambda tried: tried.ndcg) for some in of_each if some)
        return next((tried for tried in few if self.leads(tried, best)), best)

    def is_of_few(self, tried: Tried) -> bool:
        """Return whether not all users were asked about a candidate."""
        return bool(np.isnan(self.ndcg[self.tried.index(tried)]).any())

    def measured_on(self, *, few: bool) -> list[Tried]:
        """Return the candidates that all users were asked about, or few of them."""
        return [tried for tried in self.tried if self.is_of_few(tried) == few]

    def of_users(self, *tried: Tried) -> Floats:
        """Return (candidates, n_users) the nDCG of users that all of these were measured on."""
        found = np.stack([self.ndcg[self.tried.index(each)] for each in tried])
        return found[:, ~np.isnan(found).any(axis=0)]

    def leads(self, one: Tried, other: Tried) -> bool:
        """Return whether a candidate predicts better than another one, beyond chance."""
        return is_ahead(*self.of_users(one, other))

    def measure(self, values: Values) -> Tried:
        """Measure a candidate, unless it was."""
        for tried in self.tried:
            if tried.values == values:
                return tried
        started = time.perf_counter()
        for _ in self.stages.each([values], f"auto: {values['item_model']}"):
            settings = changed(self.settings, values)
            holdout = self._holdout(settings)
            is_asked = np.isin(self.holdout.judged, holdout.judged)
            judged = judge(holdout, served_lists(holdout, N, self._made(settings, holdout)))
        self.ndcg.append(np.full(len(is_asked), np.nan))
        self.ndcg[-1][is_asked] = ndcg(judged)
        of_all = point_values({}, judged)
        tried = Tried(
            values,
            round(float(np.nanmean(self.ndcg[-1])), 6),
            round(of_all["coverage"], 6),
            round(of_all["personalization"], 6),
            round(time.perf_counter() - started, 3),
        )
        self.tried.append(tried)
        self.measured(tried)
        return tried

    def repeats(self, tried: Tried) -> tuple[int, list[Repeats]]:
        """Return how many repeats should lead a candidate's lists, as `judge_repeats` does."""
        settings = changed(self.settings, tried.values)
        holdout = self._holdout(settings)
        if not holdout.again.nnz:  # the lists may have to be made again
            return 0, []
        return judge_repeats(holdout, N, self._made(settings, holdout), by_affinity=False)

    def _holdout(self, settings: TrainerSettings) -> Holdout:
        return self.few if settings.item_model == Ease.name else self.holdout

    def _made(self, settings: TrainerSettings, holdout: Holdout) -> Made:
        own, neighbors = self._users_lists(settings, holdout), self._lists_of(settings, holdout)
        return Made(self.popular, own, neighbors, settings.fold_in)

    def _users_lists(self, settings: TrainerSettings, holdout: Holdout) -> Matrix | None:
        """Return the users' own lists; others are neighbors only, as many as get a list at all."""
        if settings.user_model != USER_KNN:
            return None
        users, n_users = holdout.judged, holdout.train.shape[0]
        others = np.setdiff1d(np.arange(n_users), users)
        order = np.concatenate([users, others[: max(settings.active_users - len(users), 0)]])
        ranker = settings.model(USER_KNN).fit(csr_array(holdout.stored_rows[order]))
        lists = lists_of(ranker, holdout.train.shape[1], row_blocks(len(users)))
        return _spread(lists, users, n_users)

    def _counts_of(self, settings: TrainerSettings) -> tuple[Matrix, Floats]:
        """Return what the item model is fitted to."""
        counting, of = settings.counting(settings.item_model), self.holdout
        made = partial(counts_of, of.histories, of.streamed, counting)
        return _kept(self._counts, repr(counting), made)

    def _lists_of(self, settings: TrainerSettings, holdout: Holdout) -> Matrix:
        """Return the lists of the items that need them, (n_items, n_items)."""

        def made() -> Matrix:
            ranker = settings.model(settings.item_model).fit(*self._counts_of(settings))
            rows = np.unique(holdout.train[holdout.judged].indices).astype(np.int64)
            pairs = np.diff(holdout.streamed.indptr).astype(np.int64) + 1
            cuts = blocks(pairs[rows], PAIRS_PER_BLOCK)
            lists = lists_of(ranker, len(pairs), [rows[start:stop] for start, stop in cuts])
            return _spread(lists, rows, len(pairs))

        return _kept(self._lists, _lists_key(settings), made)


def _of_fewer_items(holdout: Holdout) -> Holdout:
    """Return a hold-out with as many of its judged users as have `ROWS_MOST` items together."""
    users, test = np.random.default_rng(0).permutation(holdout.judged), holdout.test
    had = holdout.train[users]
    first = np.sort(np.unique(had.indices, return_index=True)[1])
    if len(first) <= ROWS_MOST:
        return holdout
    few = users[: max(int(np.searchsorted(had.indptr, first[ROWS_MOST])) - 1, 2)]
    return replace(holdout, test=entries_where(test, np.isin(entry_rows(test.indptr), few)))


def _lists_key(settings: TrainerSettings) -> str:
    """Return what lists depend on."""
    model = settings.config(settings.item_model).model_dump_json()
    return f"{settings.item_model} {model} {settings.counts.model_dump_json()}"


def _kept(made: dict[str, T], key: str, make: Callable[[], T]) -> T:
    """Return what was made lately under that key, or make it; the last used are kept."""
    made[key] = made.pop(key) if key in made else make()
    if len(made) > KEPT:
        made.pop(next(iter(made)))
    return made[key]


def _spread(some: Matrix, rows: Ints, n_rows: int) -> Matrix:
    """Return a matrix of n_rows that has `some` at `rows`, ascending; the others are empty."""
    lengths = np.zeros(n_rows, np.int64)
    lengths[rows] = np.diff(some.indptr)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return csr_array((some.data, some.indices, indptr), (n_rows, some.shape[1]))
