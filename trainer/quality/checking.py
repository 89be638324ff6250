"""The rules for each item's counts and for all of them, and which of these the data breaks. Pure.

What a figure is says `trainer.quality.figures`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from contracts.generations import HeldOut
from contracts.messages import Floats
from trainer.counts.matrices import Gram
from trainer.quality.figures import Popularity, of_all, of_items

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
MEANINGS: Final = {
    "own": "share of the counts in rows of items without a count of their own",
    "beyond": "share of the counts in rows with counts beyond sqrt(G_ii x G_jj)",
    "below_zero": "sum of the negative counts, relative to the sum of all others",
    "items_kept": "number of items, relative to the served generation; at least the limit",
    "single_user": "share of the items with a single user",
    "popularity_shift": "population stability index against the served generation",
    ACCURACY: "nDCG of the hold-out at the upper end of its 95 % interval, for one of the served "
    "settings on the same users; at least the limit",
}
"""What each rule compares with its limit, which is a maximum unless stated otherwise."""


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


class Rule(NamedTuple):
    """What must hold of a figure about all of the data."""

    name: str
    level: Level
    limit: float
    is_least: bool = False
    """whether the limit is the least that the figure may be, and not the most"""

    def holds(self, value: float) -> bool:
        """Return whether a figure is within the limit; NaN is not."""
        return value >= self.limit if self.is_least else value <= self.limit


def rules(settings: QualityConfig) -> tuple[Rule, ...]:
    """Return what must hold for all of the data, or nothing is published, and what should."""
    return (
        Rule("below_zero", "hard", BELOW_ZERO),
        Rule("items_kept", "hard", settings.items_kept_min, is_least=True),
        Rule("single_user", "soft", settings.single_user_max),
        Rule("popularity_shift", "soft", settings.popularity_shift_max),
    )


def _is_share_of_a_row(values: Floats) -> npt.NDArray[np.bool_]:
    return (values >= 0) & (values <= OF_A_ROW)


OF_ITEMS: Final[Mapping[str, Callable[[Floats], npt.NDArray[np.bool_]]]] = {
    "own": lambda values: values > 0,
    "beyond": _is_share_of_a_row,
}
"""By figure about each item, (n_items,): for which items it is valid; never for NaN. A violation is
reported with the share of all counts in the rows of such items."""


def check(gram: Gram, before: Popularity | None, settings: QualityConfig) -> list[Checked]:
    """Return every rule, and whether it holds.

    Args:
        gram: what is about to be trained on.
        before: what was popular in the generation that is served, None if there is none.
        settings: the limits.
    """
    values = of_all(gram, before)
    return [
        *_of_items(gram, settings.inconsistent_max),
        *(
            Checked(
                rule=rule.name,
                level=rule.level,
                holds=rule.holds(values[rule.name]),
                value=values[rule.name],
                limit=rule.limit,
                meaning=MEANINGS[rule.name],
            )
            for rule in rules(settings)
        ),
    ]


def check_accuracy(held_out: HeldOut | None) -> list[Checked]:
    """Return the rule on accuracy, and whether it holds; nothing if there is nothing to compare.

    A generation's settings and the served ones learn from the same data and are asked for the same
    users' items, so neither the data nor the kind of hold-out makes a difference between them.
    """
    if held_out is None or held_out.lead is None:
        return []
    kept = held_out.lead.kept_at_best
    return [Checked(ACCURACY, "hard", kept >= KEPT_MIN, kept, KEPT_MIN, MEANINGS[ACCURACY])]


def _of_items(gram: Gram, limit: float) -> Iterator[Checked]:
    """Yield a rule for each figure: how much of the counts the rows hold that break it."""
    found = of_items(gram)
    counts = found["counts"]
    every = float(counts.sum())
    for name, fits in OF_ITEMS.items():
        broken = ~fits(found[name])
        share = float(counts[broken].sum()) / every if every else 0.0
        named = gram.items[broken][:ITEMS_NAMED].tolist()
        yield Checked(name, "hard", share <= limit, share, limit, MEANINGS[name], named)
