"""What `evaluate` found: the JSON that it prints, and what its table and its page are made from."""

from collections.abc import Sequence
from dataclasses import astuple
from statistics import fmean
from typing import Any

import msgspec

from trainer.evaluation.measuring import Measured
from trainer.evaluation.preparing import LeftOut, Prepared
from trainer.judging.found import Found


class Data(msgspec.Struct, frozen=True):
    """What was learned from, and what was to be found."""

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
