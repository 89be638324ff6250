"""`ITEM_MODEL=auto`: tries models, counts and settings on what users did last, and takes the best.

What a sample of users did last is held out (`trainer.evaluation.holdout`), and each candidate is
asked for it: as it would be served, from lists of bounded length. A candidate is a handful of the
trainer's settings, so whoever wants it for good can write it down.

The search goes from the cheap to the dear: cosines first, with users weighted or not and popular
items damped or not, which tells what kind of data it is; then, with the counts that were best and
the plain ones, `ease` from a few starting points, and from the best of these step by step; then how
histories are folded in. Some 40 candidates in all.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_array

from contracts.affinities import DAY_MS
from contracts.messages import Floats, Ints
from trainer.counts.blocks import blocks
from trainer.counts.derived import Histories
from trainer.counts.matrices import Indices, Matrix
from trainer.evaluation.holdout import Holdout, hold_out
from trainer.evaluation.judged import judge
from trainer.evaluation.metrics.coverage import coverage
from trainer.evaluation.metrics.ndcg import ndcg
from trainer.evaluation.metrics.personalization import personalization
from trainer.evaluation.recommending import Recommended, from_item_lists, from_user_lists, lists_of
from trainer.models import Ranker
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages
from trainer.tuning.found import Found, Tried, Values

N: Final = 10
"""Length of a list: what the API sends unless asked for more."""
SEED: Final = 1
LEAST_USERS: Final = 20
"""With something to be found: below, what finds more is chance."""
ROWS_MOST: Final = 12_000
"""Items whose lists a candidate makes, where `ease` takes each item's neighborhood."""
PAIRS_PER_BLOCK: Final = 1_000_000
GRAMS_KEPT: Final = 2
LISTS_KEPT: Final = 4
USER_KNN: Final = "user-knn"
COSINE: Final = "cosine"
EASE: Final = "ease"

PLAIN: Final[Values] = {"item_model": COSINE, "user_model": "none"}
"""What is taken where nothing can be found out."""
WEIGHTS: Final = (0, 0.5)
BETWEEN: Final = 0.25
DAMPINGS: Final = (0.5, 0.3, 0.1)
NORMALISED: Final = ((0, 0, 8), (0.4, 0, 20), (0.55, 0.15, 30))
"""Of `ease`: alpha, beta and lambda. Plain; the user's popular items damped; near to a cosine."""
NEAR: Final = 0.9
NEAR_RIDGE: Final = 100
"""Another start: alpha and beta in the ratio of the best cosine's, and this sum and lambda."""
STEP: Final = 3
"""Lambda goes up or down by this factor for as long as that helps."""
SHARES_OF_TIME: Final = (1 / 8, 1 / 3)
"""Half-lives that are tried, of the time from which half of the items come to the latest one."""
LATEST_ITEMS: Final = 50


def is_wanted(settings: TrainerSettings) -> bool:
    """Return whether anything is to be chosen."""
    return AUTO in (settings.item_model, settings.user_model)


def find(
    histories: Histories,
    stored: Floats,
    streamed: Matrix,
    settings: TrainerSettings,
    stages: Stages,
    *,
    at_random: bool = False,
) -> Found:
    """Return which settings foresee best what users did last.

    Args:
        histories: of (n_users, n_items).
        stored: (entries,) their affinities as the workers have them, users' scales included.
        streamed: (n_items, n_items) G as the workers keep it.
        settings: whatever is not searched is as it stands here.
        stages: is told of each candidate.
        at_random: hold out items at random, not the last ones: for whoever asks for such.
    """
    if not settings.active_users:  # nobody is to get a list of their own
        settings = changed(settings, {"user_model": "none"})
    users = settings.auto.sample_users
    if streamed.shape[0] > settings.ease.exact_items:
        users = _few_enough(histories, users)
    holdout = hold_out(histories, stored, streamed, users, SEED, at_random=at_random)
    n_users = len(holdout.judged)
    if n_users < LEAST_USERS:
        why = f"{n_users} users have enough items to hold any out, {LEAST_USERS} are needed"
        plain = PLAIN if settings.item_model == AUTO else {"item_model": settings.item_model}
        return Found({**plain, "user_model": _user_model(settings)}, why, n_users)
    search = _Search(*_needed_first(holdout), settings, stages)
    del holdout  # as large as what is searched with
    if settings.item_model == AUTO:
        search.cosines()
        search.eases()
        search.folding()
    else:
        own = settings.user_model == USER_KNN
        search.try_({"item_model": settings.item_model, "user_model": USER_KNN if own else "none"})
    if settings.user_model == AUTO:
        search.try_({**search.best.values, "user_model": USER_KNN})
    chosen = search.chosen()
    if settings.user_model == USER_KNN:
        # The figures are those of what is served.
        chosen = search.try_({**chosen.values, "user_model": USER_KNN})
    return search.found(chosen)


def _user_model(settings: TrainerSettings) -> str:
    """Return whose lists users get where nothing is known of which are better."""
    return USER_KNN if settings.user_model == AUTO else settings.user_model


def _few_enough(histories: Histories, users_most: int) -> int:
    """Return how many users have no more than `ROWS_MOST` items together, about."""
    able = np.random.default_rng(SEED).permutation(histories.affinities.shape[0])[:users_most]
    rows = histories.affinities[able]
    _, first = np.unique(rows.indices, return_index=True)
    if len(first) <= ROWS_MOST:
        return users_most
    entry = np.sort(first)[ROWS_MOST]
    return max(int(np.searchsorted(rows.indptr, entry)), LEAST_USERS * 2)


def _needed_first(holdout: Holdout) -> tuple[Holdout, int]:
    """Return the hold-out with the items in another order, and how many of them need lists.

    Those are the items that someone who is judged has: they stand first, so that a candidate need
    not make the lists of the others.
    """
    had = holdout.histories.affinities[holdout.judged]
    needed = np.zeros(had.shape[1], np.bool_)
    needed[had.indices] = True
    order = np.argsort(~needed, kind="stable")
    histories = holdout.histories.columns(order)
    return Holdout(
        histories,
        holdout.stored,  # in the old order; nothing takes it from here
        _both(holdout.streamed, order),
        _columns(holdout.test, order),
    ), int(needed.sum())


def _columns(some: Matrix, order: Ints) -> Matrix:
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    made: Matrix = csr_array((some.data, place[some.indices], some.indptr), some.shape)
    made.sort_indices()
    return made


def _both(some: Matrix, order: Ints) -> Matrix:
    return _columns(csr_array(some[order]), order)


@dataclass(slots=True)
class _Search:
    """What was tried so far, and on what."""

    holdout: Holdout
    n_rows: int
    """how many items, the first ones, need lists"""
    settings: TrainerSettings
    stages: Stages
    tried: list[Tried] = field(default_factory=list)
    ndcg: dict[int, Floats] = field(default_factory=dict)
    """(n_users,) of each in `tried`, by its place"""
    _grams: dict[str, Matrix] = field(default_factory=dict)
    _lists: dict[str, Matrix] = field(default_factory=dict)
    """of the last candidates, by the settings that lists depend on"""

    @property
    def best(self) -> Tried:
        """The candidate with the highest nDCG; of several the first, which is the simplest."""
        return max(self.tried, key=lambda tried: tried.ndcg)

    def cosines(self) -> None:
        """Try cosines: how users and popular items count, and whether old events do."""
        for weight, damping in product(WEIGHTS, DAMPINGS):
            self.try_(
                {
                    **PLAIN,
                    "counts_user_weight_exponent": weight,
                    "counts_half_life_days": 0,
                    "cosine_popularity_damping": damping,
                }
            )
        self._vary("counts_user_weight_exponent", [BETWEEN])
        self._vary("counts_half_life_days", self._half_lives())

    def eases(self) -> None:
        """Try `ease`, from a few starting points, and go on from the best of them."""
        counts = {
            name: value for name, value in self.best.values.items() if name.startswith("counts_")
        }
        weight = counts["counts_user_weight_exponent"]
        damping = self.best.values["cosine_popularity_damping"]
        near = (NEAR * (1 - damping), NEAR * damping, NEAR_RIDGE)
        starts = [*product(NORMALISED, sorted({0, weight})), (near, weight)]
        for (own, neighbors, ridge), weight in starts:
            self.try_(
                {
                    "item_model": EASE,
                    "user_model": "none",
                    **counts,
                    "counts_user_weight_exponent": weight,
                    "ease_own_damping": round(own, 4),
                    "ease_popularity_damping": round(neighbors, 4),
                    "ease_regularization": ridge,
                }
            )
        if self.best.values["item_model"] != EASE:
            return
        for factor in (STEP, 1 / STEP):
            while True:
                before = self.best
                ridge = round(before.values["ease_regularization"] * factor, 4)
                self.try_({**before.values, "ease_regularization": ridge})
                if self.best is before:
                    break
        self._vary("counts_user_weight_exponent", [*WEIGHTS, BETWEEN])
        self._vary("counts_half_life_days", [0, *self._half_lives()])

    def folding(self) -> None:
        """Try what is folded in: latest items only, or older ones with less weight."""
        self._vary("fold_in_half_life_days", self._half_lives())
        self._vary("fold_in_items", [LATEST_ITEMS])

    def try_(self, values: Values) -> Tried:
        """Measure a candidate, unless it was."""
        for tried in self.tried:
            if tried.values == values:
                return tried
        started = time.perf_counter()
        for _ in self.stages.each([values], f"auto: {_short(values)}"):
            settings = changed(self.settings, values)
            recommended = self._recommended(settings)
        judged = judge(self.holdout, recommended)
        found = ndcg(judged)
        times = np.bincount(judged.items[judged.filled], minlength=judged.train.shape[1])
        self.ndcg[len(self.tried)] = found
        measured = Tried(
            values,
            round(float(found.mean()), 6),
            round(coverage(times.astype(np.float64)), 6),
            round(personalization(times.astype(np.float64), N, len(found)), 6),
            round(time.perf_counter() - started, 3),
        )
        self.tried.append(measured)
        return measured

    def chosen(self) -> Tried:
        """Return what is to be taken: the best, or what shows most of what is nearly as good."""
        given_up = self.settings.auto.accuracy_given_up
        if not given_up:
            return self.best
        enough = self.best.ndcg * (1 - given_up)
        able = [tried for tried in self.tried if tried.ndcg >= enough]
        return max(able, key=lambda tried: (tried.coverage, tried.ndcg))

    def found(self, chosen: Tried) -> Found:
        """Return what was found out, of which a candidate was chosen."""
        given_up = self.settings.auto.accuracy_given_up
        of_users = self.ndcg[self.tried.index(chosen)]
        error = 1.96 * float(of_users.std(ddof=1)) / len(of_users) ** 0.5
        return Found(
            chosen.values,
            f"nDCG@{N} {chosen.ndcg:.4f}, coverage {chosen.coverage:.3f}: the best of "
            f"{len(self.tried)} candidates"
            + (f" within {given_up:.0%} of the best nDCG by coverage" if given_up else ""),
            len(of_users),
            chosen.ndcg,
            round(chosen.ndcg - error, 6),
            round(chosen.ndcg + error, 6),
            sorted(self.tried, key=lambda tried: -tried.ndcg),
        )

    def _vary(self, name: str, alternatives: Iterable[float]) -> None:
        """Try the best candidate with one setting changed."""
        start = self.best.values
        for value in alternatives:
            self.try_({**start, name: value})

    def _half_lives(self) -> list[float]:
        """Return the half-lives that are worth a try, in days; none where all is of one time."""
        ts_ms = self.holdout.histories.ts_ms
        days = float(ts_ms.max() - np.median(ts_ms)) / DAY_MS * 2
        return [float(f"{days * share:.2g}") for share in SHARES_OF_TIME if days * share > 0.01]

    def _recommended(self, settings: TrainerSettings) -> Recommended:
        if settings.user_model == USER_KNN:
            return self._by_user(settings)
        return from_item_lists(self.holdout, self._lists_of(settings), settings.fold_in, N)

    def _by_user(self, settings: TrainerSettings) -> Recommended:
        """Return the users' own lists; others are neighbors only, as many as get a list at all."""
        users, n_users = self.holdout.judged, self.holdout.train.shape[0]
        others = np.setdiff1d(np.arange(n_users), users)
        order = np.concatenate([users, others[: max(settings.active_users - len(users), 0)]])
        ranker = settings.model(USER_KNN).fit(csr_array(self.holdout.train[order]))
        of_rows = blocks(np.ones(len(users), np.int64), 500)
        lists = lists_of(ranker, self.holdout.train.shape[1], of_rows)
        indptr = _spread(lists.indptr, users, n_users)
        shape = (n_users, lists.shape[1])
        spread: Matrix = csr_array((lists.data, lists.indices, indptr), shape)
        return from_user_lists(self.holdout, spread, N)

    def _gram(self, settings: TrainerSettings) -> Matrix:
        """Return G counted as set."""
        key = settings.counts.model_dump_json()
        return _kept(self._grams, key, GRAMS_KEPT, lambda: self.holdout.gram(settings.counts))

    def _lists_of(self, settings: TrainerSettings) -> Matrix:
        """Return the lists of the items that need them, (n_items, n_items)."""
        model = settings.config(settings.item_model).model_dump_json()
        key = f"{settings.item_model} {model} {settings.counts.model_dump_json()}"

        def made() -> Matrix:
            ranker = settings.model(settings.item_model).fit(self._gram(settings))
            return self._ranked(ranker)

        return _kept(self._lists, key, LISTS_KEPT, made)

    def _ranked(self, ranker: Ranker) -> Matrix:
        n_items = self.holdout.streamed.shape[0]
        sizes = np.diff(self.holdout.streamed.indptr)[: self.n_rows].astype(np.int64) + 1
        lists = lists_of(ranker, n_items, blocks(sizes, PAIRS_PER_BLOCK))
        indptr = np.concatenate([lists.indptr, np.full(n_items - self.n_rows, lists.indptr[-1])])
        whole: Matrix = csr_array((lists.data, lists.indices, indptr), (n_items, n_items))
        return whole


def _kept(made: dict[str, Matrix], key: str, n: int, make: Callable[[], Matrix]) -> Matrix:
    """Return what was made lately under that key, or make it; the last n are kept."""
    if key not in made:
        while len(made) >= n:
            made.pop(next(iter(made)))
        made[key] = make()
    return made[key]


def _spread(indptr: Indices, rows: Ints, n_rows: int) -> Indices:
    """Return the indptr of a matrix of n_rows that has some rows, ascending, and others empty."""
    lengths = np.zeros(n_rows, np.int64)
    lengths[rows] = np.diff(indptr)
    return np.concatenate([[0], np.cumsum(lengths)])


def _short(values: Mapping[str, Any]) -> str:
    shown = (v for name, v in values.items() if not name.endswith("_model"))
    return f"{values['item_model']} {' '.join(f'{v:g}' for v in shown)}"
