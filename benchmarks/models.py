"""Models: `python -m benchmarks models --interactions FILE`, or `--train FILE --test FILE`.

Hypothesis: `auto`, with default settings, finds more of what users do next than
each model of implicit does after a search for its best settings; from streamed counts, and served
from lists of bounded length, while implicit's models have all of the data in memory.

Work: a file is split by time or by user, or was split by others; models learn from the first part
and recommend what is in the second. Ours are measured as they come; `auto` chooses by what there is
to learn from. Implicit's are measured twice: as their makers set them, and with the best of equally
many trials each on a validation split (`trainer.tuning`). Nothing was chosen by the test split.

Baseline: what is popular; `CosineRecommender`, `BM25Recommender` and `AlternatingLeastSquares` of
implicit on the same matrix (`benchmarks.implicit`). Their lists are measured by the same code.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import RenderableType
from rich.text import Text

from benchmarks.harness.report import Report, computer, table
from benchmarks.harness.session import Json, folder, present
from benchmarks.implicit import implicit_models, version
from trainer.commands.options import errors_reported
from trainer.evaluation.bootstrap import lead
from trainer.evaluation.interactions import Splitting
from trainer.evaluation.question import Question
from trainer.evaluation.result import OfModel
from trainer.evaluation.table import sentence_on
from trainer.evaluation.worker import WorkerRules
from trainer.models import MODELS
from trainer.settings import AUTO, TrainerSettings
from trainer.tuning.run import Tuned, run, tuned_name
from trainer.tuning.search import Best, Search
from trainer.tuning.space import Space
from trainer.tuning.tunable import Tunable, TunableModel

TEST_SHARE: Final = 0.25
"""Of the events, or of each user's items; and again of the rest, for validation."""
SEED: Final = 1
POPULAR: Final = "popular"
_COLUMNS: Final = {
    "map": "MAP",
    "precision": "precision",
    "recall": "recall",
    "hit_rate": "hit\nrate",
    "coverage": "cover-\nage",
    "personalization": "personal-\nization",
    "novelty": "novelty,\nbits",
}
"""Columns other than nDCG, by the names of the measures."""


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
    trials: Annotated[int, typer.Option(min=1, help="of each of implicit's models")] = 30,
    *,
    json: Json = False,
) -> None:
    """How good recommendations are as they come, against the models of implicit, tuned."""
    with folder(), errors_reported():
        question = Question(interactions, train, test, split, TEST_SHARE, SEED)
        present(report(measure(question, trials, n), trials, n), json=json)


class AsItComes(TunableModel):
    """A model of ours that is not tuned here."""

    @property
    def space(self) -> Space:
        """Nothing is searched."""
        return {}


def measure(question: Question, trials: int, n: int) -> Tuned:
    """Tune implicit's models, and measure these and all of ours.

    Raises:
        FileError, SplitError, NobodyError: the file makes no question.
        NoEnvironmentError: implicit is unavailable here; the text says why.
        ContenderError: it ended.
    """
    settings = TrainerSettings()
    ours: list[Tunable] = [AsItComes(name, settings) for name in (AUTO, *MODELS)]
    with implicit_models(question.seed) as theirs, tempfile.TemporaryDirectory() as path:
        search = Search(Path(path) / "trials", n, trials, question.seed)
        return run(question, WorkerRules(), [*ours, *theirs], search)


def report(tuned: Tuned, trials: int, n: int) -> Report:
    """Report how good each model's lists of n are, ours and theirs after so many trials each."""
    evaluation = tuned.evaluation
    work = sentence_on(evaluation.data)
    of_auto, of_theirs = (
        next(of for of in evaluation.models if of.model == name).measured.metrics["ndcg"]
        for name in (AUTO, best_of_theirs(tuned))
    )
    assert of_auto.value is not None
    assert of_theirs.value is not None
    ahead = leads(tuned)
    figures = {
        "name": "models",
        "work": work,
        "value": of_auto.value,
        "unit": f"nDCG@{n} of {AUTO}",
        "baseline": f"{best_of_theirs(tuned)} of {version()}",
        "baseline_value": of_theirs.value,
        "ratio": round(of_auto.value / of_theirs.value, 3),
        "spread": {
            "value": [of_auto.low, of_auto.high],
            "baseline_value": [of_theirs.low, of_theirs.high],
        },
        "rounds": trials,
        "leads": ahead,
        "validation": tuned.best,
        "evaluation": evaluation,
    }
    columns = ("model", f"nDCG@{n}", "95 %", *_COLUMNS.values(), "seconds")
    printed: Sequence[RenderableType] = (
        work,
        table(columns, map(_row, evaluation.models)),
        *(Text(_settings(name, best), style="dim") for name, best in tuned.best.items()),
        *(_lead(name, n, *lead) for name, lead in ahead.items()),
        Text(f"{computer()}, {version()}; {trials} trials of each of its models", style="dim"),
    )
    return Report([figures], printed)


def best_of_theirs(tuned: Tuned) -> str:
    """Return which of theirs the validation split chose."""
    return tuned_name(max(tuned.best, key=lambda name: tuned.best[name].ndcg))


def leads(tuned: Tuned) -> dict[str, tuple[float, tuple[float, float]]]:
    """Return by how much `auto` is ahead of what is popular and of each of theirs, tuned.

    With the 95 % interval of the difference between two lists of the same user.
    """
    ndcg, seed = tuned.ndcg, tuned.evaluation.seed
    rivals = (POPULAR, *map(tuned_name, tuned.best))
    return {name: lead(ndcg[AUTO], ndcg[name], seed) for name in rivals}


def _row(of_model: OfModel) -> tuple[str, ...]:
    metrics = of_model.measured.metrics
    ndcg = metrics["ndcg"]
    return (
        of_model.model,
        _digits(ndcg.value, 4),
        f"{_digits(ndcg.low)} .. {_digits(ndcg.high)}",
        *(_digits(metrics[name].value) for name in _COLUMNS),
        f"{sum(of_model.seconds.values()):.1f}",
    )


def _settings(name: str, best: Best) -> str:
    values = ", ".join(f"{key} {_short(value)}" for key, value in best.values.items())
    return f"{tuned_name(name)}: {values}"


def _lead(name: str, n: int, more: float, between: tuple[float, float]) -> str:
    low, high = between
    met = "[green]ahead of[/]" if low > 0 else "[red]not surely ahead of[/]"
    return f"[bold]{AUTO}[/]: {met} {name} in nDCG@{n} by {more:.4f} ({low:.4f} .. {high:.4f})"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _digits(value: Any, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
