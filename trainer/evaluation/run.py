"""One evaluation: reads files, fits models and measures their lists, with progress."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from trainer.evaluation.contenders import Contender, contender
from trainer.evaluation.measuring import JudgedFold, judge_fold, measure_folds
from trainer.evaluation.preparing import Prepared, prepare
from trainer.evaluation.question import Question
from trainer.evaluation.result import Evaluation, OfModel, data_of, of_folds
from trainer.evaluation.worker import WorkerRules
from trainer.judging.recommending import NONE, Recommended
from trainer.settings import TrainerSettings
from trainer.stages import Stages, shown


def run(
    question: Question,
    settings: TrainerSettings,
    models: Sequence[str],
    n: int,
    rules: WorkerRules,
    lists_to: Path | None = None,
) -> Evaluation:
    """Return how good the lists of some models are.

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
    with shown() as progress:
        stages = {name: Stages(lambda: None, progress) for name in models}
        made: dict[str, list[Contender]] = {name: [] for name in models}
        judged: dict[str, list[JudgedFold]] = {name: [] for name in models}
        data = []
        steps = Stages(lambda: None, progress).each(range(question.folds), "splits")
        for _, split in zip(steps, question.splits(), strict=True):
            prepared = prepare(split, rules)
            holdout = prepared.holdout
            data.append(data_of(str(question), prepared))
            for name, of_model in stages.items():
                made[name].append(contender(name, settings, holdout, of_model))
                recommended = made[name][-1].recommend(holdout, n, of_model)
                if lists_to is not None:
                    write_recommendations(lists_to, prepared, recommended)
                with of_model.timed("measure"):
                    judged[name].append(judge_fold(holdout, recommended, prepared.items))
        found = [
            _of_model(name, made[name], judged[name], question.seed, stages[name])
            for name in models
        ]
    return Evaluation(of_folds(data), question.seed, found)


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
