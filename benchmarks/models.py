"""Models: `python -m benchmarks models --interactions FILE`, or `--train FILE --test FILE`.

Hypothesis: `auto`, with default settings, finds at least as much of what users do next as each of
the models that it chooses from, and more than a list of what is popular.

Work: a file is split by time or by user, or was split by others; models learn from the first part
and recommend what is in the second. All are measured as they come; `auto` chooses by what there is
to learn from. Nothing was chosen by the test split.

Baseline: what is popular, and each of the models alone.
"""

from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer
from rich.console import RenderableType
from rich.progress import Progress
from rich.text import Text

from benchmarks.harness.report import Report, computer
from benchmarks.harness.session import Json, folder, present
from contracts.generations import Lead
from contracts.messages import Floats
from trainer.commands.options import errors_reported
from trainer.evaluation.interactions import Splitting, WorkerRules
from trainer.evaluation.measuring import judge_fold, measure_folds
from trainer.evaluation.preparing import prepare
from trainer.evaluation.result import Evaluation, OfModel, data_of, sentence_on, table_of
from trainer.evaluation.run import contender
from trainer.evaluation.splits import Question
from trainer.judging.intervals import lead_of
from trainer.judging.lists import served_lists
from trainer.models import MODELS
from trainer.settings import AUTO, TrainerSettings
from trainer.stages import Stages

TEST_SHARE: Final = 0.25
"""Of the events, or of each user's items."""
SEED: Final = 1


def models(
    interactions: Annotated[
        Path | None, typer.Option(help="CSV, CSV.gz or Parquet: ts_ms, user_id, instrument_id")
    ] = None,
    train: Annotated[Path | None, typer.Option(help="such a file to learn from")] = None,
    test: Annotated[Path | None, typer.Option(help="such a file with what is to be found")] = None,
    split: Annotated[
        Splitting, typer.Option(help="the last of all events, or a share of each user's items")
    ] = Splitting.TEMPORAL,
    n: Annotated[int, typer.Option(min=1, help="length of a list")] = 10,
    *,
    json: Json = False,
) -> None:
    """How good recommendations of `auto` are as they come, against each model alone."""
    with folder(), errors_reported():
        question = Question(interactions, train, test, split, TEST_SHARE, SEED)
        present(report(measure(question, n), n), json=json)


class Standings(NamedTuple):
    """How good `auto` and the models are."""

    evaluation: Evaluation
    ndcg: dict[str, Floats]
    """of each model, (m,) of each user's list"""


def measure(question: Question, n: int) -> Standings:
    """Measure `auto` and each model.

    Raises:
        FileError, SplitError, NobodyError: the file makes no question.
    """
    prepared, settings = prepare(question.split(), WorkerRules()), TrainerSettings()
    models, ndcg = [], {}
    for name in (AUTO, *MODELS):
        stages = Stages(lambda: None, Progress(disable=True))
        made = contender(name, settings, prepared.holdout, stages)
        recommended = served_lists(prepared.holdout, n, made.make(prepared.holdout, n, stages))
        fold = judge_fold(prepared.holdout, recommended, prepared.items)
        measured = measure_folds([fold], question.seed)
        models.append(OfModel(name, made.described, dict(stages.seconds), measured))
        ndcg[name] = fold.of_lists["ndcg"]
    return Standings(Evaluation(data_of(str(question), prepared), question.seed, models), ndcg)


def report(found: Standings, n: int) -> Report:
    """Report how good each model's lists of n are, and by how much `auto` is ahead."""
    evaluation = found.evaluation
    work, ahead = sentence_on(evaluation.data), leads(found)
    values = {of.model: of.measured.metrics["ndcg"].value for of in evaluation.models}
    figures = [
        {
            "name": "models",
            "work": work,
            "value": values[AUTO],
            "unit": f"nDCG@{n} of {AUTO}",
            "baseline": name,
            "baseline_value": values[name],
            "lead": lead.mean,
            "spread": {"lead": (lead.mean - lead.error, lead.mean + lead.error)},
        }
        for name, lead in ahead.items()
    ]
    printed: list[RenderableType] = [
        table_of(evaluation),
        *(_lead(name, n, lead) for name, lead in ahead.items()),
        Text(computer(), style="dim"),
    ]
    return Report(figures, printed)


def leads(found: Standings) -> dict[str, Lead]:
    """Return by how much `auto` is ahead of each other model in nDCG."""
    ndcg = found.ndcg
    return {name: lead_of(ndcg[AUTO], ndcg[name]) for name in ndcg if name != AUTO}


def _lead(name: str, n: int, lead: Lead) -> str:
    is_ahead = "[green]ahead of[/]" if lead.mean > lead.error else "[red]not surely ahead of[/]"
    more = f"{lead.mean:.4f} +- {lead.error:.4f}"
    return f"[bold]{AUTO}[/]: {is_ahead} {name} in nDCG@{n} by {more}"
