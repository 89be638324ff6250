"""`ITEM_MODEL=auto`: tries models, counts and settings on what users did last, and takes the best.

What a sample of users did last is held out (`trainer.judging.holdout`), and each candidate has
to predict it as it would be served, from lists of bounded length. A candidate is a handful of the
trainer's settings, so it can be made permanent in the configuration.

The search goes from cheap to expensive: first what the item models suggest, in the order of
`MODELS`. Cosines, with users weighted or not and popular items damped or not, show what kind of
data it is; `ease` goes on with the counts that were best for them. Then how histories are folded
in. Some 20 to 30 candidates in all.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.messages import Floats
from contracts.times import DAY_MS
from trainer.counts.derived import Histories
from trainer.counts.matrices import Matrix
from trainer.judging.found import Found, Tried, not_chosen_on
from trainer.judging.holdout import hold_out
from trainer.judging.metrics import N
from trainer.models import ITEM_MODELS, MODELS, USER_KNN
from trainer.models.ease import EXACT_ITEMS
from trainer.models.interface import Values
from trainer.selection.trials import Trials
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages

SEED: Final = 1
SAMPLE_USERS: Final = 2_000
"""Of how many users the latest items are held out, to be predicted from the rest."""
LEAST_USERS: Final = 20
"""With something to be found: below, what finds more is chance."""
ROWS_MOST: Final = 12_000
"""Items whose lists a candidate makes, where `ease` takes each item's neighborhood."""
PLAIN: Final[Values] = {"item_model": ITEM_MODELS[0], "user_model": "none"}
"""What is taken where nothing can be found out."""
SHARES_OF_TIME: Final = (1 / 8, 1 / 3)
"""Half-lives that are tried, of the time from which half of the items come to the latest one."""
DAYS_LEAST: Final = 0.01
DAYS_MOST: Final = 36_000
LATEST_ITEMS: Final = 50


def find(
    histories: Histories,
    stored: Floats,
    streamed: Matrix,
    settings: TrainerSettings,
    stages: Stages,
    *,
    at_random: bool = False,
) -> Found:
    """Return which settings predict best what users did last.

    Args:
        histories: of (n_users, n_items).
        stored: (entries,) their affinities as the workers have them, users' scales included.
        streamed: (n_items, n_items) G as the workers keep it.
        settings: the values of all that is not searched.
        stages: gets each candidate.
        at_random: hold out items at random instead of the last ones.
    """
    if not settings.active_users:  # nobody is to get a list of their own
        settings = changed(settings, {"user_model": "none"})
    users = SAMPLE_USERS
    if streamed.shape[0] > EXACT_ITEMS:
        users = _few_enough(histories, users)
    holdout = hold_out(histories, stored, streamed, users, SEED, at_random=at_random)
    n_users = len(holdout.judged)
    if n_users < LEAST_USERS:
        why = f"{n_users} users have enough items to hold any out, {LEAST_USERS} are needed"
        plain = PLAIN if settings.item_model == AUTO else {"item_model": settings.item_model}
        return Found({**plain, "user_model": _user_model(settings)}, why, n_users)
    trials = Trials.on(holdout, settings, stages)
    del holdout  # as large as what is searched with
    search = _Search(trials)
    if settings.item_model == AUTO:
        search.item_models()
        search.folding()
        chosen = search.chosen()
    else:
        user_model = USER_KNN if settings.user_model == USER_KNN else "none"
        chosen = trials.measure({"item_model": settings.item_model, "user_model": user_model})
    if settings.user_model != "none":
        own = trials.measure({**chosen.values, "user_model": USER_KNN})
        # Of lists that someone wants anyway, the figures are those of what is served.
        if settings.user_model == USER_KNN or own.ndcg > chosen.ndcg:
            chosen = own
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


@dataclass(frozen=True, slots=True)
class _Search:
    """Which candidates are tried, one after the other."""

    trials: Trials

    @property
    def best(self) -> Values:
        """The best candidate of all models."""
        return self.trials.best.values

    def best_of(self, model: str) -> Values:
        """Return the best candidate of an item model."""
        of_it = [tried for tried in self.trials.tried if tried.values["item_model"] == model]
        return max(of_it, key=lambda tried: tried.ndcg).values

    def measure(self, model: str, values: Values) -> None:
        """Try an item model with some settings."""
        self.trials.measure({"item_model": model, "user_model": "none", **values})

    def vary(self, name: str, alternatives: Iterable[float]) -> None:
        """Try the best candidate of all with one setting changed."""
        start = self.best
        for value in alternatives:
            self.trials.measure({**start, name: value})

    @property
    def half_lives(self) -> list[float]:
        """Those that are worth a try, in days; none where all events are of one time."""
        ts_ms = self.trials.holdout.histories.ts_ms
        days = float(ts_ms.max() - np.median(ts_ms)) / DAY_MS * 2
        shares = (min(days * share, DAYS_MOST) for share in SHARES_OF_TIME)
        return [float(f"{share:.2g}") for share in shares if share > DAYS_LEAST]

    def item_models(self) -> None:
        """Try what each model suggests, in their order: a later one knows what was best before."""
        for entry in MODELS.values():
            if entry.candidates:
                entry.candidates(self)

    def folding(self) -> None:
        """Try what is folded in: latest items only, or older ones with less weight."""
        self.vary("fold_in_half_life_days", self.half_lives)
        self.vary("fold_in_items", [LATEST_ITEMS])

    def chosen(self) -> Tried:
        """Return what is to be taken: the best, or what shows most of what is nearly as good."""
        given_up = self.trials.settings.auto.accuracy_given_up
        if not given_up:
            return self.trials.best
        enough = self.trials.best.ndcg * (1 - given_up)
        able = [tried for tried in self.trials.tried if tried.ndcg >= enough]
        return max(able, key=lambda tried: (tried.coverage, tried.ndcg))

    def _not_chosen_on(self, chosen: Tried) -> Floats:
        """Return (n_users,) the nDCG of what was chosen without each, of those served alike."""
        tried = self.trials.tried
        user_model = chosen.values["user_model"]
        alike = [k for k, each in enumerate(tried) if each.values["user_model"] == user_model]
        return not_chosen_on([self.trials.ndcg[k] for k in alike], alike.index(tried.index(chosen)))

    def found(self, chosen: Tried) -> Found:
        """Return what was found out, of which a candidate was chosen."""
        given_up = self.trials.settings.auto.accuracy_given_up
        of_users = self._not_chosen_on(chosen)
        ndcg = round(float(of_users.mean()), 6)
        error = 1.96 * float(of_users.std(ddof=1)) / len(of_users) ** 0.5
        return Found(
            chosen.values,
            f"nDCG@{N} {chosen.ndcg:.4f}, coverage {chosen.coverage:.3f}: the best of "
            f"{len(self.trials.tried)} candidates"
            + (f" within {given_up:.0%} of the best nDCG by coverage" if given_up else ""),
            len(of_users),
            ndcg,
            round(ndcg - error, 6),
            round(ndcg + error, 6),
            sorted(self.trials.tried, key=lambda tried: -tried.ndcg),
        )
