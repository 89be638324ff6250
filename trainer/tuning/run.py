"""One tuning: settings are searched on a validation split, and the best judged on the test."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.progress import Progress

from contracts.messages import Floats
from trainer.evaluation.measuring import measure
from trainer.evaluation.preparing import Prepared, prepare
from trainer.evaluation.question import Question
from trainer.evaluation.result import Evaluation, OfModel, data_of
from trainer.evaluation.worker import WorkerRules
from trainer.judging.holdout import Holdout
from trainer.judging.metrics import judge, ndcg
from trainer.models import ITEM_MODELS, USER_KNN
from trainer.models.interface import Values
from trainer.stages import Stages, shown
from trainer.tuning.search import Best, Search
from trainer.tuning.tunable import Tunable


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found."""

    best: dict[str, Best]
    """by name, of what has anything to set"""
    evaluation: Evaluation
    """on the test split, which the search has not seen: each as it was set, and tuned"""
    ndcg: dict[str, Floats]
    """(m,) of each list there, by the names in `evaluation`"""


def run(
    question: Question, rules: WorkerRules, tunables: Sequence[Tunable], search: Search
) -> Tuned:
    """Return the best settings, and how good they are on the test split.

    The training data is split once more as the question asks: models learn from one part, and the
    settings are chosen on the other.

    Raises:
        QuestionError, FileError, SplitError: the files make no question.
        NobodyError: nobody has anything to be found.
    """
    with shown() as progress:
        stages = Stages(lambda: None, progress)
        (split,) = (question.split() for _ in stages.each([question], "reading"))
        validation = prepare(question.split_events(split.train), rules).holdout
        best = {
            tunable.name: _searched(search, tunable, validation, progress)
            for tunable in tunables
            if tunable.space
        }
        prepared = prepare(split, rules)
        judged = [
            of_variant
            for tunable in stages.each(tunables, "test")
            for of_variant in _judged(tunable, best.get(tunable.name), prepared, search)
        ]
    found = [of_model for of_model, _ in judged]
    return Tuned(
        best,
        Evaluation(data_of(str(question), prepared), question.seed, found),
        {of_model.model: of_lists for of_model, of_lists in judged},
    )


def tuned_name(name: str) -> str:
    """Return what a model is called with the best settings."""
    return f"{name}, tuned"


def settings_of(best: dict[str, Best]) -> Values:
    """Return what the trainer should be set to: the best item model, and whom to give own lists.

    A user's own list, from the user model, stands before what is folded in from the item model's:
    where it predicts worse, nobody gets one.

    >>> settings_of({"cosine": Best(0.2, {"neighbors_per_item": 20}), "user-knn": Best(0.1, {})})
    {'user_model': 'none', 'item_model': 'cosine', 'neighbors_per_item': 20}
    """
    of_items = {name: found for name, found in best.items() if name in ITEM_MODELS}
    of_users = best.get(USER_KNN)
    values: Values = dict(of_users.values) | {"user_model": USER_KNN} if of_users else {}
    if of_items:
        name = max(of_items, key=lambda name: of_items[name].ndcg)
        values |= {"item_model": name} | of_items[name].values
        if of_users and of_users.ndcg < of_items[name].ndcg:
            values["user_model"] = "none"
    return values


def _searched(search: Search, tunable: Tunable, holdout: Holdout, progress: Progress) -> Best:
    task = progress.add_task(tunable.name, total=search.trials)

    def show(over: int, best: Best) -> None:
        title = f"{tunable.name}, best nDCG@{search.n} {best.ndcg:.4f}"
        progress.update(task, completed=over, description=title)

    best = search.best(tunable, holdout, show)
    show(search.trials, best)
    return best


def _judged(
    tunable: Tunable, best: Best | None, prepared: Prepared, search: Search
) -> Iterator[tuple[OfModel, Floats]]:
    variants = {tunable.name: Values()} | ({tuned_name(tunable.name): best.values} if best else {})
    for name, changed in variants.items():
        started = time.perf_counter()
        recommended = tunable.recommend(changed, prepared.holdout, search.n)
        seconds = round(time.perf_counter() - started, 3)
        measured = measure(prepared.holdout, recommended, search.seed)
        of_model = OfModel(name, tunable.values(changed), {"recommend": seconds}, measured)
        yield of_model, ndcg(judge(prepared.holdout, recommended))
