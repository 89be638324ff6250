"""Models: `python -m benchmarks models --interactions FILE`.

Hypothesis: lists made from streamed counts alone, and served from lists of bounded length, find as
much of what users do next as the models of implicit do, which have all of the data in memory.

Work: a file is split by time (or by user), models learn from the first part and recommend what is
in the second. Every model is measured twice: as its makers set it, and with the best settings of
equally many trials on a validation split, by the same search (`trainer.tuning`).

Baseline: what is popular; `CosineRecommender`, `BM25Recommender` and `AlternatingLeastSquares` of
implicit on the same matrix (`benchmarks.implicit`). Their lists are measured by the same code.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.implicit import implicit_models, version
from benchmarks.machine import machine
from benchmarks.report import line
from trainer.evaluation.bootstrap import lead
from trainer.evaluation.question import Question
from trainer.evaluation.result import OfModel
from trainer.evaluation.table import sentence_on
from trainer.models import MODELS
from trainer.settings import TrainerSettings
from trainer.tuning.run import Tuned, run, tuned_name
from trainer.tuning.search import Search
from trainer.tuning.tunable import Tunable, TunableModel

N: Final = 10
"""Length of a list."""
TEST_SHARE: Final = 0.25
"""Of the events, or of each user's items; and again of the rest, for validation."""
SEED: Final = 1
POPULAR: Final = "popular"
_COLUMNS: Final = {
    "map": f"MAP@{N}",
    "precision": "precision",
    "recall": "recall",
    "hit_rate": "hit\nrate",
    "coverage": "cover-\nage",
    "personalization": "personal-\nization",
    "novelty": "novelty,\nbits",
}
"""Beside nDCG, by the names of the measures."""


@dataclass(frozen=True, slots=True)
class Standings:
    """How good each model's lists are, ours and theirs."""

    tuned: Tuned
    trials: int
    """of each model"""

    def lines(self) -> str:
        """Return everything as one line of JSON."""
        ours, theirs = self.ours, self.theirs
        value, other = (self._of(name).measured.metrics["ndcg"] for name in (ours, theirs))
        assert value.value is not None
        assert other.value is not None
        return line(
            name="models",
            work=sentence_on(self.tuned.evaluation.data),
            value=value.value,
            unit=f"nDCG@{N} of {ours}",
            baseline=f"{theirs} of {version()}",
            baseline_value=other.value,
            ratio=round(value.value / other.value, 3),
            spread={"value": [value.low, value.high], "baseline_value": [other.low, other.high]},
            rounds=self.trials,
            leads=self.leads(),
            validation=self.tuned.best,
            evaluation=self.tuned.evaluation,
        )

    def show(self, console: Console) -> None:
        """Print a row a model, how far ours is ahead, and what it was measured on."""
        console.print(sentence_on(self.tuned.evaluation.data))
        console.print(_table(self.tuned.evaluation.models))
        for name, best in self.tuned.best.items():
            values = ", ".join(f"{key} {_short(value)}" for key, value in best.values.items())
            console.print(f"{tuned_name(name)}: {values}", style="dim")
        for name, (more, (low, high)) in self.leads().items():
            met = "[green]ahead of[/]" if low > 0 else "[red]not surely ahead of[/]"
            console.print(
                f"[bold]{self.ours}[/]: {met} {name} in nDCG@{N} by {more:.4f} "
                f"({low:.4f} .. {high:.4f})"
            )
        on = machine()
        console.print(
            f"{on['cpu']}, {on['cores']} cores, {version()}; {self.trials} trials of each model",
            style="dim",
        )

    @property
    def ours(self) -> str:
        """Return which of ours the validation split chose."""
        return self._chosen(name for name in self.tuned.best if name in MODELS)

    @property
    def theirs(self) -> str:
        """Return which of theirs the validation split chose."""
        return self._chosen(name for name in self.tuned.best if name not in MODELS)

    def leads(self) -> dict[str, tuple[float, tuple[float, float]]]:
        """Return by how much ours is ahead of what is popular and of each of theirs, tuned.

        With the 95 % interval of the difference between two lists of the same user.
        """
        ndcg, seed = self.tuned.ndcg, self.tuned.evaluation.seed
        rivals = [tuned_name(name) for name in self.tuned.best if name not in MODELS]
        return {name: lead(ndcg[self.ours], ndcg[name], seed) for name in (POPULAR, *rivals)}

    def _chosen(self, names: Iterable[str]) -> str:
        return tuned_name(max(names, key=lambda name: self.tuned.best[name].ndcg))

    def _of(self, name: str) -> OfModel:
        return next(of for of in self.tuned.evaluation.models if of.model == name)


def measure(question: Question, trials: int) -> Standings:
    """Tune and measure all models of ours and of implicit.

    Raises:
        FileError, SplitError, NobodyError: the file makes no question.
        NoEnvironmentError: implicit cannot be had here, and why.
        ContenderError: it ended.
    """
    ours: list[Tunable] = [TunableModel(name, TrainerSettings()) for name in MODELS]
    with implicit_models(question.seed) as theirs, tempfile.TemporaryDirectory() as folder:
        search = Search(Path(folder) / "trials", N, trials, question.seed)
        return Standings(run(question, [*ours, *theirs], search), trials)


def _table(models: Iterable[OfModel]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("model", no_wrap=True, vertical="bottom")
    for title in (f"nDCG@{N}", "95 %", *_COLUMNS.values(), "seconds"):
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
