"""One evaluation: reads files, fits models and measures their lists, with progress."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import Progress

from trainer.evaluation.contenders import contender
from trainer.evaluation.measuring import measure
from trainer.evaluation.preparing import Prepared, prepare
from trainer.evaluation.question import Question
from trainer.evaluation.result import Evaluation, OfModel, data_of
from trainer.evaluation.worker import WorkerRules
from trainer.judging.recommending import NONE, Recommended
from trainer.settings import TrainerSettings
from trainer.stages import Stages, shown


def run(
    question: Question,
    settings: TrainerSettings,
    models: Sequence[str],
    n: int,
    lists_to: Path | None,
    rules: WorkerRules,
) -> Evaluation:
    """Return how good the lists of some models are.

    Args:
        question: what is learned from and what is to be found.
        settings: of the models.
        models: names of the registry.
        n: length of a list.
        lists_to: where the lists of the last model are written, if anywhere.
        rules: how the workers would have folded the events.

    Raises:
        QuestionError, FileError, SplitError: the files make no question.
        NobodyError: nobody has anything to be found.
    """
    with shown() as progress:
        stages = Stages(lambda: None, progress)
        (split,) = (question.split() for _ in stages.each([question], "reading"))
        prepared = prepare(split, rules)
        found = [
            _of_model(name, prepared, settings, n, progress, question.seed, lists_to)
            for name in models
        ]
    return Evaluation(data=data_of(str(question), prepared), seed=question.seed, models=found)


def _of_model(
    name: str,
    prepared: Prepared,
    settings: TrainerSettings,
    n: int,
    progress: Progress,
    seed: int,
    lists_to: Path | None,
) -> OfModel:
    stages = Stages(lambda: None, progress)
    contestant, chosen = contender(name, settings, prepared.holdout, stages)
    recommended = contestant.recommend(prepared.holdout, n, stages)
    with stages.timed("measure"):
        measured = measure(prepared.holdout, recommended, seed)
    if lists_to is not None:
        write_recommendations(lists_to, prepared, recommended)
    return OfModel(
        model=name,
        settings=chosen,
        seconds={stage: round(seconds, 3) for stage, seconds in stages.seconds.items()},
        measured=measured,
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
