"""Models: `python -m benchmarks models --interactions FILE`, or `--train FILE --test FILE`.

Hypothesis: `auto`, with default settings, finds at least as much of what users do next as each of
the models that it chooses from, and more than a list of what is popular.

Work: a file is split by time or by user, or was split by others; models learn from the first part
and recommend what is in the second. All are measured as they come; `auto` chooses by what there is
to learn from. Nothing was chosen by the test split.

Baseline: what is popular, and each of the models alone.
"""

import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import RenderableType
from rich.text import Text

from benchmarks.harness.report import Report, computer
from benchmarks.harness.session import Json, folder, present
from trainer.commands.options import errors_reported
from trainer.evaluation.bootstrap import lead
from trainer.evaluation.interactions import Splitting
from trainer.evaluation.question import Question
from trainer.evaluation.table import sentence_on, table_of
from trainer.evaluation.worker import WorkerRules
from trainer.models import MODELS
from trainer.settings import AUTO, TrainerSettings
from trainer.tuning.run import Tuned, run
from trainer.tuning.search import Search
from trainer.tuning.space import Space
from trainer.tuning.tunable import TunableModel

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


class AsItComes(TunableModel):
    """A model that is not tuned here."""

    @property
    def space(self) -> Space:
        """Nothing is searched."""
        return {}


def measure(question: Question, n: int) -> Tuned:
    """Measure `auto` and each model.

    Raises:
        FileError, SplitError, NobodyError: the file makes no question.
    """
    as_they_come = [AsItComes(name, TrainerSettings()) for name in (AUTO, *MODELS)]
    with tempfile.TemporaryDirectory() as path:
        search = Search(Path(path) / "trials", n, trials=1, seed=question.seed)
        return run(question, WorkerRules(), as_they_come, search)


def report(found: Tuned, n: int) -> Report:
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
            "lead": more,
            "spread": {"lead": between},
        }
        for name, (more, between) in ahead.items()
    ]
    printed: list[RenderableType] = [
        table_of(evaluation),
        *(_lead(name, n, *lead) for name, lead in ahead.items()),
        Text(computer(), style="dim"),
    ]
    return Report(figures, printed)


def leads(found: Tuned) -> dict[str, tuple[float, tuple[float, float]]]:
    """Return by how much `auto` is ahead of each other model in nDCG.

    With the 95 % interval of the difference between two lists of the same user.
    """
    ndcg, seed = found.ndcg, found.evaluation.seed
    return {name: lead(ndcg[AUTO], ndcg[name], seed) for name in ndcg if name != AUTO}


def _lead(name: str, n: int, more: float, between: tuple[float, float]) -> str:
    low, high = between
    is_ahead = "[green]ahead of[/]" if low > 0 else "[red]not surely ahead of[/]"
    return f"[bold]{AUTO}[/]: {is_ahead} {name} in nDCG@{n} by {more:.4f} ({low:.4f} .. {high:.4f})"
