"""The result as a table for a terminal: models in rows, measures in columns."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainer.evaluation.measuring import Estimate
from trainer.evaluation.metrics import NAMES
from trainer.evaluation.result import Data, Evaluation

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
    """Return the table with a line on the data above it; below each value its 95 % interval."""
    n = evaluation.models[0].measured.n
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    for name in NAMES:
        table.add_column(TITLES[name].format(n=n), justify="right", no_wrap=True)
    for of_model in evaluation.models:
        metrics = of_model.measured.metrics
        table.add_row(of_model.model, *(_value(metrics[name]) for name in NAMES))
    return Group(Text(sentence_on(evaluation.data)), table)


def sentence_on(data: Data) -> str:
    """Describe the training data and the held-out data in words."""
    left_out = data.left_out
    return (
        f"{data.source}: learned from {data.affinities:,} pairs of {data.users:,} users and "
        f"{data.items:,} items; {data.pairs:,} pairs of {data.users_judged:,} users held out. "
        f"Left out: {left_out.pairs_seen_before:,} pairs that the user had already, "
        f"{left_out.pairs_of_unknown_items:,} with new items, "
        f"{left_out.pairs_of_unknown_users:,} of {left_out.unknown_users:,} new users."
    )


def _value(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.value:.4f}\n{estimate.low:.3f}..{estimate.high:.3f}"
