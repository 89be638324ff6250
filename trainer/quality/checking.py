"""The rules for counts and for a generation's accuracy, and which of them are broken. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from contracts.generations import HeldOut
from trainer.counts.matrices import Gram
from trainer.quality.figures import Popularity, popularity_shift, share_beyond

Level = Literal["hard", "soft"]

ITEMS_NAMED: Final = 5
OF_A_ROW: Final = 0.1
"""A row with less may have been read a moment earlier or later than the others. Rows with more are
those of items with few counts, unless something is wrong."""
BELOW_ZERO: Final = 1e-6
"""Subtracting weights again leaves 1e-16 of them; more was never added."""

ACCURACY: Final = "ndcg_kept"
"""The rule on how well a generation predicts."""
KEPT_MIN: Final = 0.95
"""A generation that surely predicts worse than this is refused. `python -m trainer once` publishes
anyway; `auto` may give up less for coverage."""


class Rule(NamedTuple):
    """What a figure must be, or nothing is published, or should be."""

    level: Level
    meaning: str
    """what the figure is"""
    is_least: bool = False
    """whether the limit is the least that the figure may be, and not the most"""


RULES: Final[Mapping[str, Rule]] = {
    "own": Rule("hard", "share of the counts in rows of items without a count of their own"),
    "beyond": Rule("hard", "share of the counts in rows with counts beyond sqrt(G_ii x G_jj)"),
    "below_zero": Rule("hard", "sum of the negative counts, relative to the sum of all others"),
    "items_kept": Rule(
        "hard",
        "number of items, relative to the served generation; at least the limit",
        is_least=True,
    ),
    "single_user": Rule("soft", "share of the items with a single user"),
    "popularity_shift": Rule("soft", "population stability index against the served generation"),
    ACCURACY: Rule(
        "hard",
        "nDCG of the hold-out at the upper end of its 95 % interval, for one of the served "
        "settings on the same users; at least the limit",
        is_least=True,
    ),
}


class QualityConfig(BaseModel):
    """The limits: hard ones stop publication, soft ones are warnings."""

    model_config = ConfigDict(frozen=True)

    inconsistent_max: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="hard limit: share of the counts in rows with impossible counts: no own count "
        "of the item, or pairs that exceed it",
    )
    items_kept_min: float = Field(
        default=0.5,
        ge=0,
        allow_inf_nan=False,
        description="hard limit: number of items, relative to the served generation",
    )
    single_user_max: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="soft limit: share of items with a single user",
    )
    popularity_shift_max: float = Field(
        default=0.25,
        ge=0,
        allow_inf_nan=False,
        description="soft limit: population stability index against the served generation",
    )


class Checked(msgspec.Struct, frozen=True):
    """A rule of `trainer.quality`, and what it found."""

    rule: str
    level: Level
    """a broken hard rule stops publication, a soft one is only logged"""
    holds: bool
    value: float
    limit: float
    meaning: str
    """what the value is, and where it may stand to the limit"""
    items: list[int] = []
    """some that break it"""


def check(gram: Gram, before: Popularity | None, settings: QualityConfig) -> list[Checked]:
    """Return every rule for counts, and whether it holds.

    A rule for items is broken by the share of all counts that is in the rows of such items.

    Args:
        gram: what is about to be trained on.
        before: what was popular in the generation that is served, None if there is none.
        settings: the limits.
    """
    own, counts = gram.counts.diagonal(), np.asarray(gram.counts.sum(axis=1), np.float64)
    every, n_items = float(counts.sum()), len(gram.items)
    found = []
    for name, is_broken in (("own", ~(own > 0)), ("beyond", ~(share_beyond(gram) <= OF_A_ROW))):
        share = float(counts[is_broken].sum()) / every if every else 0.0
        named = gram.items[is_broken][:ITEMS_NAMED].tolist()
        found.append(_checked(name, share, settings.inconsistent_max, named))
    below_zero = gram.below_zero / max(float(gram.counts.sum()), 1.0)
    kept = n_items / before.items if before and before.items else 1.0
    single = float((own == 1).sum()) / max(n_items, 1)
    shift = popularity_shift(before, gram) if before else 0.0
    return [
        *found,
        _checked("below_zero", below_zero, BELOW_ZERO),
        _checked("items_kept", kept, settings.items_kept_min),
        _checked("single_user", single, settings.single_user_max),
        _checked("popularity_shift", shift, settings.popularity_shift_max),
    ]


def check_accuracy(held_out: HeldOut | None) -> list[Checked]:
    """Return the rule on accuracy, and whether it holds; nothing if there is nothing to compare.

    A generation's settings and the served ones learn from the same data and are asked for the same
    users' items, so neither the data nor the kind of hold-out makes a difference between them.
    """
    if held_out is None or held_out.lead is None:
        return []
    return [_checked(ACCURACY, held_out.lead.kept_at_best, KEPT_MIN)]


def _checked(name: str, value: float, limit: float, items: Sequence[int] = ()) -> Checked:
    """Return whether a figure is within its limit; NaN is not."""
    rule = RULES[name]
    holds = value >= limit if rule.is_least else value <= limit
    return Checked(name, rule.level, holds, value, limit, rule.meaning, [*items])
