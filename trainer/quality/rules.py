"""The rules for each item's counts, and for the counts as a whole. Pure.

What a figure is and where its limits come from is in `trainer.quality.measures` and `.settings`.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.messages import Floats
from trainer.generations.report import Level
from trainer.quality.settings import QualityConfig

OF_A_ROW: Final = 0.1
"""A row that differs by less from the other rows may have been read a moment earlier or later. Rows
that differ by more are those of items with few counts, unless something is wrong."""
BELOW_ZERO: Final = 1e-6
"""Subtracting weights again leaves 1e-16 of them; more was never added."""

MEANINGS: Final = {
    "own": "share of the counts in rows of items without a count of their own",
    "unmatched": "share of the counts in rows that differ from their column",
    "beyond": "share of the counts in rows with counts beyond sqrt(G_ii x G_jj)",
    "below_zero": "sum of the counts below zero, for one of all others",
    "items_kept": "items for one of the served generation; at least the limit",
    "single_user": "share of the items that one user has",
    "popularity_shift": "population stability index against the served generation",
}
"""By rule: what is compared with the limit; at most it, unless it says otherwise."""


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
    "unmatched": _is_share_of_a_row,
    "beyond": _is_share_of_a_row,
}
"""By figure about each item, (n_items,): for which items it is valid; never for NaN. A violation is
reported with the share of all counts in the rows of such items."""
