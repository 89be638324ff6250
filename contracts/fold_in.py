"""Folding a user's history into the items' lists: what API and evaluation must do alike. Pure.

`score(u, j) = sum_i w_ui S_ij / sum_i w_ui`, with S_ij the score of j in the list of i, 0 if it is
not in there, over the user's latest items i. So it stays in the range of the similarities whatever
the number of items. S_ij may be below zero: then i speaks against j. Only what ends above zero is
recommended.

Source: Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering recommendation
algorithms", 2001, section 3.2.1, with the user's total weight as the divisor: their divisor, the
similarities themselves, lets one weak neighbor outrank many.
"""

from typing import Final

import msgspec
import numpy as np

from contracts.affinities import DAY_MS
from contracts.messages import Floats, Ints

ITEMS_MOST: Final = 5_000
"""As many as a history may hold."""
SCORE_DECIMALS: Final = 12
"""Scores are rounded to as many: those that differ by less are equal but for the order of adding,
and equal ones are ordered by the smaller id."""


class FoldIn(msgspec.Struct, frozen=True):
    """How a generation's lists want histories folded in."""

    items: int = ITEMS_MOST
    """how many, those touched last; of one time those with smaller ids first"""
    half_life_days: float = 0
    """after which an item says half as much as the user's latest one; 0: age does not matter"""

    def weights(self, affinities: Floats, ages_ms: Ints) -> Floats:
        """Return w_ui of a user's items, of any shape.

        Args:
            affinities: r_ui without the user's own scale.
            ages_ms: how much older each item's last event is than the user's latest one, 0 or more.

        >>> FoldIn(half_life_days=1).weights(np.array([1.0, 3.0]), np.array([0, 86_400_000]))
        array([1. , 1.5])
        """
        if not self.half_life_days:
            return affinities
        weights: Floats = affinities * np.exp2(ages_ms / (-DAY_MS * self.half_life_days))
        return weights
