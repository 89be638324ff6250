"""What `evaluate` found: the JSON that it prints, and a table for a terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from statistics import fmean
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contracts.generations import Repeats
from trainer.evaluation.measuring import Estimate, Measured
from trainer.evaluation.preparing import LeftOut, Prepared
from trainer.generations.report import Found
from trainer.judging.lists import N
from trainer.judging.measures import NAMES
from trainer.models.interface import Values


class Data(msgspec.Struct, frozen=True):
    """Sizes of the training data, and of the held-out items."""

    source: str
    """the files, and how they were split"""
    folds: int
    """of users: what was learned from is the mean of them, what was to be found is their sum"""
    users: int
    """with anything to learn from"""
    items: int
    """that anyone of them had"""
    affinities: int
    """pairs of user and item to learn from"""
    users_judged: int
    """with anything to be found"""
    pairs: int
    """of user and item to be found"""
    left_out: LeftOut


class OfModel(msgspec.Struct, frozen=True):
    """How good a model is."""

    model: str
    settings: dict[str, Any]
    """those that distinguish it; none if `auto` chose them for each fold"""
    seconds: dict[str, float]
    """stage -> time that it took"""
    measured: Measured
    found: list[Found] = []
    """what `auto` found out, for each fold"""
    repeats: list[Repeats] = []
    """all that users took, by how many items lead that they had; none if nobody took any again"""


class Evaluation(msgspec.Struct, frozen=True):
    """All of it."""

    data: Data
    seed: int
    models: list[OfModel]


def data_of(source: str, prepared: Prepared) -> Data:
    """Return how much there was to learn from and to find."""
    holdout = prepared.holdout
    n_users, n_items = holdout.train.shape
    return Data(
        source=source,
        folds=1,
        users=n_users,
        items=n_items,
        affinities=holdout.train.nnz,
        users_judged=len(holdout.judged),
        pairs=holdout.test.nnz,
        left_out=prepared.left_out,
    )


def of_folds(data: Sequence[Data]) -> Data:
    """Return the data of all folds in one."""
    learned = {
        name: round(fmean(getattr(fold, name) for fold in data))
        for name in ("users", "items", "affinities")
    }
    left_out = LeftOut(*map(sum, zip(*(astuple(fold.left_out) for fold in data), strict=True)))
    return Data(
        source=data[0].source,
        folds=len(data),
        **learned,
        users_judged=sum(fold.users_judged for fold in data),
        pairs=sum(fold.pairs for fold in data),
        left_out=left_out,
    )


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

    Below those the means of each fold, and below the table what items that users have lead to, and
    the candidates of `auto`; of several models, of `auto` alone.
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
    models = evaluation.models
    shown = models if len(models) == 1 else [each for each in models if each.found]
    repeats = (_repeats(each, n) for each in shown if each.repeats)
    return Group(Text(sentence_on(evaluation.data)), table, *repeats, *_candidates(found))


def _repeats(of_model: OfModel, n: int) -> RenderableType:
    """Return how well all that users took is found, by how many items lead that they had."""
    title = f"\n{of_model.model}, if items that the user has lead: nDCG@{n}"
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for name in ("at most", "all that was taken", "new items", "items taken again", ""):
        table.add_column(name, justify="right")
    for one in of_model.repeats:
        parts = (one.ndcg, one.error), (one.new, one.new_error), (one.again, one.again_error)
        figures = (f"{value:.4f} ± {error:.4f}" for value, error in parts)
        is_chosen = any(found.repeats_most == one.most for found in of_model.found)
        table.add_row(str(one.most), *figures, "chosen" if is_chosen else "")
    return table


def _candidates(found: Sequence[Found]) -> Iterator[RenderableType]:
    """Yield what `auto` tried, best first; of several folds what it chose in each."""
    if len(found) != 1:
        for fold, each in enumerate(found, start=1):
            yield Text(f"auto, fold {fold}: {_settings(each.values)} ({each.why})")
        return
    (of_all,) = found
    yield Text(f"\nauto: {of_all.why}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", f"nDCG@{N}", "coverage", "seconds", "settings"):
        table.add_column(name, justify="left" if name in ("", "settings") else "right")
    for tried in of_all.tried:
        chosen = "chosen" if tried.values == of_all.values else ""
        figures = f"{tried.ndcg:.4f}", f"{tried.coverage:.4f}", f"{tried.seconds:.2f}"
        table.add_row(chosen, *figures, _settings(tried.values))
    yield table


def _settings(values: Values) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


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
