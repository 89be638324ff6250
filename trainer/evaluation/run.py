"""One evaluation: reads files, fits models and measures their lists, with progress."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from msgspec.structs import replace

from contracts.generations import Repeats
from contracts.messages import Floats
from trainer.counts.derived import counts_of
from trainer.counts.matrices import Matrix
from trainer.evaluation.interactions import WorkerRules
from trainer.evaluation.measuring import JudgedFold, judge_fold, measure_folds
from trainer.evaluation.preparing import Prepared, prepare
from trainer.evaluation.result import Evaluation, OfModel, data_of, of_folds
from trainer.evaluation.splits import Question
from trainer.generations.report import Found
from trainer.judging.holdout import Holdout
from trainer.judging.lists import NONE, Made, Recommended, lists_of, row_blocks, served_lists
from trainer.judging.popularity import popular_lists
from trainer.judging.repeats import judge_repeats
from trainer.judging.search import find
from trainer.models import MODELS, USER_KNN
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages, shown


@dataclass(frozen=True, slots=True)
class Contender:
    """A model of the registry as the trainer would make it, or what `auto` chooses."""

    name: str
    settings: TrainerSettings
    found: Found | None = field(default=None, compare=False)
    """what `auto` found out, if it chose the model"""

    @property
    def described(self) -> dict[str, Any]:
        """Settings of the evaluated model, or those that `auto` chose."""
        if self.found is not None:
            return dict(self.found.values)
        return dict(self.settings.config(self.name))

    def make(self, holdout: Holdout, n: int, stages: Stages) -> Made:
        """Return what the lists of n are made of that the model's users would be shown."""
        with stages.timed("popular"):
            popular = popular_lists(holdout, self.settings.config("popular"), n)
        of = MODELS[self.name].of
        if of == "everybody":
            return Made(popular)
        with stages.timed("fit"):
            ranker = self.settings.model(self.name).fit(*self._counts(holdout))
        with stages.timed("rank"):
            of_rows = stages.each(row_blocks(ranker.n_rows), f"{self.name} lists")
            lists = lists_of(ranker, holdout.train.shape[1], of_rows)
        if of == "users":
            return Made(popular, own=lists)
        return Made(popular, neighbors=lists, fold_in=self.settings.fold_in)

    def _counts(self, holdout: Holdout) -> tuple[Matrix, Floats | None]:
        if MODELS[self.name].of == "users":
            return holdout.stored_rows, None
        counting = self.settings.counting(self.name)
        return counts_of(holdout.histories, holdout.streamed, counting)


def contender(name: str, settings: TrainerSettings, holdout: Holdout, stages: Stages) -> Contender:
    """Return a model of the registry with the trainer's settings.

    `auto` is the one that it chooses on the training data, without looking at the test data. It
    holds out what the test data does: the last items, or some at random.
    """
    if name != AUTO:
        return Contender(name, settings)
    with stages.timed("choose"):
        found = find(
            holdout.histories,
            holdout.stored,
            holdout.streamed,
            settings,
            stages,
            at_random=holdout.at_random,
        )
    chosen = changed(settings, found.values)
    made_by = USER_KNN if chosen.user_model == USER_KNN else chosen.item_model
    return Contender(made_by, chosen, found)


def run(
    question: Question,
    settings: TrainerSettings,
    models: Sequence[str],
    n: int,
    rules: WorkerRules,
    lists_to: Path | None = None,
) -> Evaluation:
    """Return how good the lists of models are, `auto`'s last; of those that Ctrl-C left time for.

    Args:
        question: what is learned from and what is to be found.
        settings: of the models.
        models: names of the registry.
        n: length of a list.
        rules: how the workers would have folded the events.
        lists_to: where the lists of the last model are written, if anywhere.

    Raises:
        QuestionError, FileError, SplitError: the files make no question.
        NobodyError: nobody has anything to be found.
    """
    with shown(in_file=True) as progress:
        ordered = sorted(models, key=AUTO.__eq__)
        stages = {name: Stages(lambda: None, progress) for name in ordered}
        made: dict[str, list[Contender]] = {name: [] for name in models}
        judged: dict[str, list[JudgedFold]] = {name: [] for name in models}
        repeats: dict[str, list[Repeats]] = {}
        data = []
        steps = Stages(lambda: None, progress).each(range(question.folds), "splits")
        with suppress(KeyboardInterrupt):
            for _, split in zip(steps, question.splits(), strict=True):
                prepared = prepare(split, rules)
                holdout = prepared.holdout
                data.append(data_of(str(question), prepared))
                for name, of_model in stages.items():
                    made[name].append(contender(name, settings, holdout, of_model))
                    lists = made[name][-1].make(holdout, n, of_model)
                    with of_model.timed("recommend"):
                        recommended = served_lists(holdout, n, lists)
                    if lists_to is not None:
                        write_recommendations(lists_to, prepared, recommended)
                    with of_model.timed("measure"):
                        judged[name].append(judge_fold(holdout, recommended, prepared.items))
                        if question.folds == 1:  # several have all events of an item on one side
                            _, repeats[name] = judge_repeats(holdout, n, lists, by_affinity=True)
        measured = [name for name in models if judged[name]]
        # The same for all, so that the models can be compared.
        folds = min((len(judged[name]) for name in measured), default=0)
        if not folds:
            raise KeyboardInterrupt
        found = [
            _of_model(name, made[name][:folds], judged[name][:folds], question.seed, stages[name])
            for name in measured
        ]
        found = [replace(one, repeats=repeats.get(one.model, [])) for one in found]
    return Evaluation(of_folds(data[:folds]), question.seed, found)


def _of_model(
    name: str,
    made: Sequence[Contender],
    judged: Sequence[JudgedFold],
    seed: int,
    stages: Stages,
) -> OfModel:
    with stages.timed("measure"):
        measured = measure_folds(judged, seed)
    found = [one.found for one in made if one.found is not None]
    return OfModel(
        model=name,
        settings=made[0].described if len(found) < 2 else {},
        seconds={stage: round(seconds, 3) for stage, seconds in stages.seconds.items()},
        measured=measured,
        found=found,
    )


def write_recommendations(path: Path, prepared: Prepared, recommended: Recommended) -> None:
    """Write lists as CSV, gzipped if the name ends in .gz, for anyone's tool to score.

    Columns: user_id, instrument_id, rank (from 1), score. Only users with something to be found
    are in it.
    """
    rows, places = np.nonzero(recommended.items != NONE)
    frame = pd.DataFrame(
        {
            "user_id": prepared.users[recommended.users[rows]],
            "instrument_id": prepared.items[recommended.items[rows, places]],
            "rank": places + 1,
            "score": recommended.scores[rows, places],
        }
    )
    frame.to_csv(path, index=False)
