"""The result as a table for a terminal: models in rows, measures in columns."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trainer.evaluation.measuring import Estimate
from trainer.evaluation.metrics import NAMES
from trainer.evaluation.result import Data, Evaluation
from trainer.judging.found import Found
from trainer.judging.metrics import N

TITLES = {
    "ndcg": "nDCG@{n}",
    "map": "MAP@{n}",
    "precision": "precision",
    "recall": "recall",
    "hit_rate": "hit rate",
    "coverage": "coverage",
    "personalization": "personal-\nization",
    "intra_list_similarity": "similarity\nin a list",
    "novelty": "novelty,\nbits",
}
"""Of the columns, by the names of the measures."""


def table_of(evaluation: Evaluation) -> Group:
    """Return the table with a line on the data above it; below each value its 95 % interval.

    Below those the means of each fold, and below the table the candidates of `auto`.
    """
    n = evaluation.models[0].measured.n
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    for name in NAMES:
        table.add_column(TITLES[name].format(n=n), justify="right", no_wrap=True)
    for of_model in evaluation.models:
        metrics = of_model.measured.metrics
        table.add_row(of_model.model, *(_value(metrics[name]) for name in NAMES))
        for k, fold in enumerate(of_model.measured.folds, start=1):
            means = (_rounded(fold.values[name]) for name in NAMES)
            table.add_row(f"  fold {k}", *means, style="dim")
    found = [each for of_model in evaluation.models for each in of_model.found]
    return Group(Text(sentence_on(evaluation.data)), table, *_candidates(found))


def _candidates(found: Sequence[Found]) -> Iterator[RenderableType]:
    """Yield a table of what `auto` tried, best first; of several folds what it chose in each."""
    if not found:
        return
    single = len(found) == 1
    title = f"auto: {found[0].why}" if single else "auto chose for each fold"
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.title = f"\n{title}"
    for name in ("", f"nDCG@{N}", "coverage", "seconds", "settings"):
        table.add_column(name, justify="left" if name in ("", "settings") else "right")
    for fold, each in enumerate(found, start=1):
        for tried in each.tried if single else [t for t in each.tried if t.values == each.values]:
            chosen = ("chosen" if tried.values == each.values else "") if single else f"fold {fold}"
            figures = f"{tried.ndcg:.4f}", f"{tried.coverage:.4f}", f"{tried.seconds:.2f}"
            values = " ".join(f"{name}={value}" for name, value in tried.values.items())
            table.add_row(chosen, *figures, values)
    yield table


def sentence_on(data: Data) -> str:
    """Describe the training data and the held-out data in words."""
    left_out = data.left_out
    of_folds = "" if data.folds == 1 else " in the mean of the folds"
    return (
        f"{data.source}: learned from {data.affinities:,} pairs of {data.users:,} users and "
        f"{data.items:,} items{of_folds}; {data.pairs:,} pairs of {data.users_judged:,} users held "
        f"out. "
        f"Left out: {left_out.pairs_seen_before:,} pairs that the user had already, "
        f"{left_out.pairs_of_unknown_items:,} with new items, "
        f"{left_out.pairs_of_unknown_users:,} of {left_out.unknown_users:,} new users."
    )


def _value(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.value:.4f}\n{estimate.low:.3f}..{estimate.high:.3f}"


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
