"""`ITEM_MODEL=auto`: tries models, counts and settings on what users did last, and takes the best.

What a sample of users did last is held out (`trainer.judging.holdout`), and each candidate has
to predict it as it would be served, from lists of bounded length. A candidate is a handful of the
trainer's settings, so it can be made permanent in the configuration.

The search goes from cheap to expensive. Each item model suggests where to set out, in the order of
`MODELS`: cosines, with users weighted or not and popular items damped or not, show what kind of
data it is, and `ease` goes on with the counts that were best for them. The model's best lists are
folded in otherwise. The search climbs the ladders of the cosines' settings, and in the end those of
every model that the best does not lead beyond chance. Some 60 candidates in all; half of them have
lists that were made before.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.messages import Floats
from trainer.counts.derived import Histories
from trainer.counts.matrices import Matrix
from trainer.generations.report import Found, Tried
from trainer.judging.holdout import hold_out
from trainer.judging.intervals import error_of, lead_of, not_chosen_on
from trainer.judging.lists import N
from trainer.judging.popularity import half_lives
from trainer.judging.trials import Trials
from trainer.models import MODELS, USER_KNN, settings_part
from trainer.models.cosine import Cosine
from trainer.models.ease import EXACT_ITEMS, Ease
from trainer.models.interface import Values
from trainer.quality.checking import KEPT_MIN
from trainer.settings import AUTO, SEARCHED, TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages

SEED: Final = 1
SAMPLE_USERS: Final = 2_000
"""Of how many users the latest items are held out, to be predicted from the rest."""
LEAST_USERS: Final = 20
"""With something to be found: below, what finds more is chance."""
USERS_OF_MANY_ITEMS: Final = 5_000
"""Instead, where `ease` takes each item's neighborhood: it is measured on fewer of them."""
UNLESS_BETTER: Final[Values] = {
    "item_model": Ease.name,
    "user_model": "none",
    "counts_user_weight_exponent": 0,
    "counts_half_life_days": 0,
    "ease_own_damping": 0,
    "ease_popularity_damping": 0,
    "ease_regularization": 40,
}
"""What is taken unless another candidate leads beyond chance: with a few hundred users of a shop or
less, such a regularization predicts better than the model's default, which is for many."""
USER_WEIGHTS: Final = (0, 0.25, 0.5, 0.75, 1)
HALF_LIVES_IN_ITEMS: Final = (0.7, 1.5, 3, 6, 12, 0)
SHARES_OF_TIME: Final = (1 / 8, 1 / 3)
"""Half-lives that are tried: see `trainer.judging.popularity.half_lives`."""
DAYS_LEAST: Final = 0.01


def find(
    histories: Histories,
    stored: Floats,
    streamed: Matrix,
    settings: TrainerSettings,
    stages: Stages,
    *,
    at_random: bool = False,
    served: Values | None = None,
    measured: Callable[[Tried], None] = lambda _: None,
) -> Found:
    """Return which settings predict best what users did last.

    Args:
        histories: of (n_users, n_items).
        stored: (entries,) their affinities as the workers have them, users' scales included.
        streamed: (n_items, n_items) G as the workers keep it.
        settings: the values of all that is not searched.
        stages: gets each candidate.
        at_random: hold out items at random instead of the last ones.
        served: settings that the chosen ones are compared with, on the same users.
        measured: is called with each candidate.
    """
    if not settings.active_users:  # nobody is to get a list of their own
        settings = changed(settings, {"user_model": "none"})
    users = SAMPLE_USERS if streamed.shape[0] <= EXACT_ITEMS else USERS_OF_MANY_ITEMS
    holdout = hold_out(histories, stored, streamed, users, SEED, at_random=at_random)
    n_users = len(holdout.judged)
    if n_users < LEAST_USERS:
        few = f"{n_users} users have enough items to hold any out, {LEAST_USERS} are needed"
        return Found(unsearched(settings), few, n_users)
    trials = Trials.on(holdout, settings, stages)
    trials.measured = measured
    del holdout  # as large as what is searched with
    search = _Search(trials)
    if settings.item_model == AUTO:
        search.item_models()
        chosen = search.chosen()
    else:
        chosen = trials.measure(unsearched(settings))
    if settings.user_model != "none":
        own = search.own_lists(chosen)
        # Of lists that someone wants anyway, the figures are those of what is served.
        if settings.user_model == USER_KNN or trials.leads(own, chosen):
            chosen = own
    why = search.why(chosen)
    if served is not None and settings.item_model == AUTO:
        kept = search.unless_refused(chosen, served)
        chosen, why = kept, why if kept is chosen else "as served, no lead over it is beyond chance"
    return search.found(chosen, served, why)


def unsearched(settings: TrainerSettings, served: Values | None = None) -> Values:
    """Settings without a search: the served ones, the default ones, or those fixed by hand."""
    user_model = settings.user_model if settings.active_users else "none"
    if user_model == AUTO:
        user_model = served["user_model"] if served else "none"
    if settings.item_model != AUTO:
        return {"item_model": settings.item_model, "user_model": user_model}
    values = UNLESS_BETTER if served is None else served
    lists = {n: value for n, value in values.items() if n.startswith(("item_", *SEARCHED))}
    return {**with_given(lists, settings), "user_model": user_model}


def with_given(values: Values, settings: TrainerSettings) -> Values:
    """Return a candidate's values, with those of settings that are not at their defaults."""
    given = settings.not_at_default
    return {n: given.get(n, v) if n.startswith(SEARCHED) else v for n, v in values.items()}


@dataclass(frozen=True, slots=True)
class _Search:
    """Which candidates are tried, one after the other."""

    trials: Trials

    def best_of(self, model: str) -> Values:
        """Return the best candidate of an item model."""
        return self._best_of(model).values

    def _best_of(self, model: str) -> Tried:
        of_it = [tried for tried in self.trials.tried if tried.values["item_model"] == model]
        return max(of_it, key=lambda tried: tried.ndcg)

    def measure(self, model: str, values: Values) -> Tried:
        """Evaluate an item model with settings, except where the operator set others."""
        values = {"item_model": model, "user_model": "none", **values}
        return self.trials.measure(with_given(values, self.trials.settings))

    @property
    def otherwise(self) -> Values:
        """The default candidate, chosen unless another one leads significantly."""
        return with_given(UNLESS_BETTER, self.trials.settings)

    def _climb(self, model: str, name: str, ladder: Sequence[float]) -> None:
        """Go on from a model's best candidate along a setting's ladder while that helps.

        The last value of a ladder is its highest: a 0 there means that there is no limit.
        """

        def height(value: float) -> float:
            return math.inf if value == ladder[-1] else value

        for up in (True, False):
            before = None
            while before != (start := self.best_of(model)):
                before, now = start, height(start.get(name, 0))
                above = [value for value in ladder if height(value) > now]
                below = [value for value in ladder if height(value) < now]
                self._vary(start, name, above[:1] if up else below[-1:])

    @property
    def half_lives(self) -> list[float]:
        """Half-lives to try, in days; none if all events have one time."""
        return half_lives(self.trials.holdout.histories.ts_ms, SHARES_OF_TIME, DAYS_LEAST)

    def item_models(self) -> None:
        """Try each model's candidates, in order: later ones start from the best so far.

        Those that the best of all does not lead beyond chance climb, too: `ease` with other ladders
        may overtake `cosine` with the best of its own.
        """
        for name, entry in MODELS.items():
            if entry.candidates:
                entry.candidates(self)
                self.fold(name)
                if name == Cosine.name:  # others set out from its counts
                    self._refine(name)
        others = (n for n, entry in MODELS.items() if entry.candidates and n != Cosine.name)
        for best in sorted(map(self._best_of, others), key=lambda tried: -tried.ndcg):
            if not self.trials.leads(self.trials.best, best):
                self._refine(best.values["item_model"])

    def _refine(self, model: str) -> None:
        """Climb from a model's best candidate."""
        self._climb(model, "counts_user_weight_exponent", USER_WEIGHTS)
        for name, ladder in MODELS[model].ladders.items():
            self._climb(model, f"{settings_part(model)}_{name}", ladder)
        self._vary(self.best_of(model), "counts_half_life_days", [0, *self.half_lives])

    def fold(self, model: str) -> None:
        """Try other ways to fold histories into an item model's best lists."""
        self._vary(self.best_of(model), "fold_in_half_life_days", [0, *self.half_lives])
        self._climb(model, "fold_in_half_life_items", HALF_LIVES_IN_ITEMS)

    def _vary(self, start: Values, name: str, alternatives: Iterable[float]) -> None:
        """Try other values of a setting that is at its default; one that is missing is 0."""
        if name in self.trials.settings.not_at_default:
            return
        for value in alternatives:
            if value != start.get(name, 0):
                self.measure(start["item_model"], {**start, name: value})

    def chosen(self) -> Tried:
        """The best candidate, or among near-ties the one with the widest coverage.

        The default candidate, unless that leads over it or it was measured on few users.
        """
        otherwise, best = self.trials.measure(self.otherwise), self.trials.best
        if not (self.trials.is_of_few(otherwise) or self.trials.leads(best, otherwise)):
            return otherwise
        enough = best.ndcg * (1 - self.trials.settings.auto.accuracy_given_up)
        alike = self.trials.measured_on(few=self.trials.is_of_few(best))
        able = [tried for tried in alike if tried.ndcg >= enough]
        return max(able, key=lambda tried: (tried.coverage, tried.ndcg))

    def own_lists(self, chosen: Tried) -> Tried:
        """The best candidate with users' own lists, before those of the chosen one."""
        settings, model = self.trials.settings, chosen.values["item_model"]
        tried = [self.measure(model, {**chosen.values, "user_model": USER_KNN})]
        is_searched = AUTO in (settings.item_model, settings.user_model)
        for name, values in MODELS[USER_KNN].ladders.items() if is_searched else ():
            start = max(tried, key=lambda tried: tried.ndcg).values
            tried += [self.measure(model, {**start, f"user_knn_{name}": v}) for v in values]
        return max(tried, key=lambda tried: tried.ndcg)

    def unless_refused(self, chosen: Tried, served: Values) -> Tried:
        """The chosen candidate or, if the gate would refuse its generation, the served settings.

        Otherwise lists of a plain candidate could be refused, and it be searched for again, for as
        long as the served one leads, but not beyond the chance of 50 candidates.
        """
        kept = self.trials.measure(unsearched(self.trials.settings, served))
        lead = lead_of(*self.trials.of_users(chosen, kept))
        return kept if lead.kept_at_best < KEPT_MIN else chosen

    def _figures(self, chosen: Tried, served: Values | None) -> Floats:
        """Return (n_users,) the nDCG of what is chosen, without the luck of the search for it."""
        own: Floats = self.trials.of_users(chosen)[0]
        if chosen.values in (self.otherwise, served):  # these were not found on these users
            return own
        user_model, few = chosen.values["user_model"], self.trials.is_of_few(chosen)
        alike = self.trials.measured_on(few=few)
        figures = self.trials.of_users(*(t for t in alike if t.values["user_model"] == user_model))
        best: Floats = figures[figures.mean(axis=1).argmax()]
        return own + not_chosen_on(figures) - best

    def found(self, chosen: Tried, served: Values | None, why: str) -> Found:
        """The search's result: the chosen candidate, its accuracy, all trials, its lead if any."""
        of_users = self._figures(chosen, served)
        ndcg = round(float(of_users.mean()), 6)
        lead, both = None, (chosen.values, served or chosen.values)
        one, other = (changed(self.trials.settings, each).of_generation() for each in both)
        if one != other:
            lead = lead_of(*self.trials.of_users(chosen, self.trials.measure(both[1])))
        error = error_of(of_users)
        return Found(
            chosen.values,
            f"nDCG@{N} {chosen.ndcg:.4f}, coverage {chosen.coverage:.3f}: {why}",
            len(of_users),
            ndcg,
            round(ndcg - error, 6),
            round(ndcg + error, 6),
            sorted(self.trials.tried, key=lambda tried: -tried.ndcg),
            lead,
            *self.trials.repeats(chosen),
        )

    def why(self, chosen: Tried) -> str:
        """Return why a candidate is chosen."""
        n, given_up = len(self.trials.tried), self.trials.settings.auto.accuracy_given_up
        if chosen.values == self.otherwise:
            return f"no lead of {n - 1} other candidates is beyond chance"
        within = f" within {given_up * 100:g}% of the best nDCG by coverage" if given_up else ""
        return f"the best of {n} candidates{within}"
