"""What `evaluate` found: the JSON that it prints, and what its table and its page are made from."""

from typing import Any

import msgspec

from trainer.evaluation.measuring import Measured
from trainer.evaluation.preparing import LeftOut, Prepared


class Data(msgspec.Struct, frozen=True):
    """What was learned from, and what was to be found."""

    source: str
    """the files, and how they were split"""
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
    seconds: dict[str, float]
    """stage -> time that it took"""
    measured: Measured


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
        users=n_users,
        items=n_items,
        affinities=holdout.train.nnz,
        users_judged=len(holdout.judged),
        pairs=holdout.test.nnz,
        left_out=prepared.left_out,
    )
