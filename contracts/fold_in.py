"""Folds a user's history into the items' lists, for both the API and the evaluation. Pure.

`score(u, j) = sum_i w_ui S_ij / sum_i w_ui`, with S_ij the score of j in the list of i, 0 if it is
absent, over the user's latest items i. So it stays in the range of the similarities for any number
of items. S_ij may be negative: then i is evidence against j. Only items with a score above zero are
recommended.

Source: Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering recommendation
algorithms", 2001, section 3.2.1, with the user's total weight as the divisor: their divisor, the
similarities themselves, lets one weak neighbor outrank many.
"""

from typing import Final

import msgspec
import numpy as np

from contracts.messages import Floats, Ints
from contracts.times import DAY_MS

ITEMS_MOST: Final = 5_000
"""The limit of a history."""
SCORE_DECIMALS: Final = 12
"""Scores are rounded to this many: smaller differences only reflect the order of summation, and
ties are broken by the smaller id."""


class FoldIn(msgspec.Struct, frozen=True):
    """How histories are folded into a generation's lists."""

    items: int = ITEMS_MOST
    """number of the latest items that count; ties are broken by the smaller id"""
    half_life_days: float = 0
    """age at which an item counts half as much as the user's latest one; 0: age does not matter"""

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
