"""Folds a user's history into the items' lists, for both the API and the evaluation. Pure.

`score(u, j) = sum_i w_ui S_ij / sum_i |w_ui|`, with S_ij the score of j in the list of i, 0 if it
is absent, over the user's latest items i. Items are ordered by time, of one time the smaller id is
later. So the score stays in the range of the similarities for any number of items. S_ij may be
negative: then i is evidence against j. So is a disliked item, with w_ui below 0, if S_ij is above;
a hidden item, with r_ui = 0, is not among the items i. Only items with a score above zero are
recommended.

The evaluation folds in no disliked items: what it reads of histories is what counts in G.

Source: Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering recommendation
algorithms", 2001, section 3.2.1, with the user's total weight as the divisor: their divisor, the
similarities themselves, lets one weak neighbor outrank many.
"""

from math import ceil
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
_HALF_LIVES: Final = 40
"""Beyond so many half-lives by position an item does not count: its share, 2^-40, is about what the
rounding of scores drops, and the API need not read its list."""
REPEAT_HALF_LIFE_DAYS: Final = 90.0
"""Of what may be taken again. 60 and 180 are as good on a shop's months."""


class FoldIn(msgspec.Struct, frozen=True):
    """How histories are folded into a generation's lists."""

    items: int = ITEMS_MOST
    """number of the latest items that count"""
    half_life_days: float = 0
    """age at which an item counts half as much as the user's latest one; 0: age does not matter"""
    half_life_items: float = 0
    """number of later items at which one counts half as much; 0: position does not matter"""

    @property
    def items_most(self) -> int:
        """How many of the latest items count at most.

        >>> FoldIn(half_life_items=0.7).items_most
        28
        """
        if not self.half_life_items:
            return self.items
        return min(self.items, ceil(_HALF_LIVES * self.half_life_items))

    def weights(self, affinities: Floats, ages_ms: Ints, positions: Ints) -> Floats:
        """Return w_ui of a user's items among the first `items_most`, of any shape.

        Args:
            affinities: r_ui without the user's own scale; below 0 of disliked items.
            ages_ms: how much older each item's last event is than the user's latest one, 0 or more.
            positions: of each item, the latest one's is 0; any if position does not matter.

        >>> affinities, ages_ms = np.array([1.0, 3.0]), np.array([0, 86_400_000])
        >>> FoldIn(half_life_days=1).weights(affinities, ages_ms, np.array([0, 1]))
        array([1. , 1.5])
        >>> FoldIn(half_life_days=1, half_life_items=1).weights(affinities, ages_ms, np.arange(2))
        array([1.  , 0.75])
        """
        weights = affinities
        if self.half_life_days:
            weights = weights * np.exp2(ages_ms / (-DAY_MS * self.half_life_days))
        if self.half_life_items:
            weights = weights * np.exp2(positions / -self.half_life_items)
        return weights


def repeat_scores(affinities: Floats, ages_ms: Ints, fits: Floats) -> Floats:
    """Return by how often, how lately and how well it fits a user may take each item again, (m,).

    `score(j) = r_j / max r x 2^(-age_j / REPEAT_HALF_LIFE_DAYS) x (s_j + mean s)`. It orders items
    as before where these have no lists.

    Sources: frequency that decays with time, Hu et al., "Modeling personalized item frequency
    information for next-basket recommendation", SIGIR 2020; recency times quality, Anderson et
    al., "The dynamics of repeat consumption", WWW 2014.

    Args:
        affinities: (m,) r_j, above 0.
        ages_ms: (m,) how much older each item's last event is than the user's latest one.
        fits: (m,) the folded-in score of each; one below 0 counts as 0.

    >>> repeat_scores(np.array([1.0, 2.0]), np.zeros(2), np.array([0.3, 0.1])).round(2).tolist()
    [0.25, 0.3]
    """
    s = fits.clip(0)
    decay = np.exp2(ages_ms / (-DAY_MS * REPEAT_HALF_LIFE_DAYS))
    scores: Floats = affinities / affinities.max() * decay * (s + (s.mean() or 1))
    return scores
