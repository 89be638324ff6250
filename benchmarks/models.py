"""Models: `python -m benchmarks models --interactions FILE`, or `--train FILE --test FILE`.

Hypothesis: `auto`, as it comes and without a setting by hand, finds more of what users do next than
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
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness.machine import machine
from benchmarks.harness.report import line
from benchmarks.harness.session import Json, folder, present
from benchmarks.implicit import implicit_models, version
from trainer.commands.options import errors_told
from trainer.evaluation.bootstrap import lead
from trainer.evaluation.holdout import Holdout
from trainer.evaluation.interactions import Splitting
from trainer.evaluation.question import Question
from trainer.evaluation.recommending import Recommended
from trainer.evaluation.result import OfModel
from trainer.evaluation.table import sentence_on
from trainer.evaluation.worker import WorkerRules
from trainer.models import MODELS
from trainer.settings import AUTO, TrainerSettings
from trainer.tuning.run import Tuned, run, tuned_name
from trainer.tuning.search import Search
from trainer.tuning.space import Space
from trainer.tuning.tunable import Tunable, TunableModel, Values

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
"""Beside nDCG, by the names of the measures."""


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
    with folder(), errors_told():
        question = Question(interactions, train, test, split, TEST_SHARE, SEED)
        present(measure(question, trials, n), json=json)


@dataclass(frozen=True, slots=True)
class AsItComes:
    """A model of ours that is not tuned here."""

    model: TunableModel

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def space(self) -> Space:
        """Nothing is searched."""
        return {}

    @property
    def fixed(self) -> Values:
        """Everything."""
        return self.model.fixed

    def values(self, changed: Values) -> Values:
        """Return the settings that are no default, which are none."""
        return changed

    def recommend(self, changed: Values, holdout: Holdout, n: int) -> Recommended:
        """Return the lists that would be served."""
        return self.model.recommend(changed, holdout, n)


@dataclass(frozen=True, slots=True)
class Standings:
    """How good each model's lists are, ours and theirs."""

    tuned: Tuned
    trials: int
    """of each model of theirs"""
    n: int
    """length of a list"""

    def lines(self) -> str:
        """Return everything as one line of JSON."""
        value, other = (self._of(name).measured.metrics["ndcg"] for name in (AUTO, self.theirs))
        assert value.value is not None
        assert other.value is not None
        return line(
            name="models",
            work=sentence_on(self.tuned.evaluation.data),
            value=value.value,
            unit=f"nDCG@{self.n} of {AUTO}",
            baseline=f"{self.theirs} of {version()}",
            baseline_value=other.value,
            ratio=round(value.value / other.value, 3),
            spread={"value": [value.low, value.high], "baseline_value": [other.low, other.high]},
            rounds=self.trials,
            leads=self.leads(),
            validation=self.tuned.best,
            evaluation=self.tuned.evaluation,
        )

    def show(self, console: Console) -> None:
        """Print a row a model, how far `auto` is ahead, and what it was measured on."""
        console.print(sentence_on(self.tuned.evaluation.data))
        console.print(_table(self.tuned.evaluation.models, self.n))
        for name, best in self.tuned.best.items():
            values = ", ".join(f"{key} {_short(value)}" for key, value in best.values.items())
            console.print(f"{tuned_name(name)}: {values}", style="dim")
        for name, (more, (low, high)) in self.leads().items():
            met = "[green]ahead of[/]" if low > 0 else "[red]not surely ahead of[/]"
            console.print(
                f"[bold]{AUTO}[/]: {met} {name} in nDCG@{self.n} by {more:.4f} "
                f"({low:.4f} .. {high:.4f})"
            )
        on = machine()
        console.print(
            f"{on['cpu']}, {on['cores']} cores, {version()}; {self.trials} trials of each of its "
            "models",
            style="dim",
        )

    @property
    def theirs(self) -> str:
        """Return which of theirs the validation split chose."""
        return tuned_name(max(self.tuned.best, key=lambda name: self.tuned.best[name].ndcg))

    def leads(self) -> dict[str, tuple[float, tuple[float, float]]]:
        """Return by how much `auto` is ahead of what is popular and of each of theirs, tuned.

        With the 95 % interval of the difference between two lists of the same user.
        """
        ndcg, seed = self.tuned.ndcg, self.tuned.evaluation.seed
        rivals = [tuned_name(name) for name in self.tuned.best]
        return {name: lead(ndcg[AUTO], ndcg[name], seed) for name in (POPULAR, *rivals)}

    def _of(self, name: str) -> OfModel:
        return next(of for of in self.tuned.evaluation.models if of.model == name)


def measure(question: Question, trials: int, n: int) -> Standings:
    """Tune implicit's models, and measure these and all of ours.

    Raises:
        FileError, SplitError, NobodyError: the file makes no question.
        NoEnvironmentError: implicit cannot be had here, and why.
        ContenderError: it ended.
    """
    settings = TrainerSettings()
    ours: list[Tunable] = [AsItComes(TunableModel(name, settings)) for name in (AUTO, *MODELS)]
    with implicit_models(question.seed) as theirs, tempfile.TemporaryDirectory() as path:
        search = Search(Path(path) / "trials", n, trials, question.seed)
        return Standings(run(question, WorkerRules(), [*ours, *theirs], search), trials, n)


def _table(models: Iterable[OfModel], n: int) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("model", no_wrap=True, vertical="bottom")
    for title in (f"nDCG@{n}", "95 %", *_COLUMNS.values(), "seconds"):
        table.add_column(title, justify="right", no_wrap=True)
    for of_model in models:
        metrics = of_model.measured.metrics
        ndcg = metrics["ndcg"]
        table.add_row(
            of_model.model,
            _digits(ndcg.value, 4),
            f"{_digits(ndcg.low)} .. {_digits(ndcg.high)}",
            *(_digits(metrics[name].value) for name in _COLUMNS),
            f"{sum(of_model.seconds.values()):.1f}",
        )
    return table


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _digits(value: Any, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
