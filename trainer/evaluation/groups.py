"""The measures by group: who is served well, and which items are shown. Pure."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np

from contracts.messages import Floats, Ints
from trainer.judging.metrics import Judged

ACTIVITY_QUANTILES: Final = (0, 0.25, 0.5, 0.75, 1)
"""A quarter of the users in each group, where as many of them have different numbers of items."""
POPULARITY_SHARES: Final = (0, 0.01, 0.05, 0.2, 0.5, 1)
"""Of the items, most popular first: the head, then what comes after it."""


class ActivityGroup(msgspec.Struct, frozen=True):
    """Users who had about as many items when the model learned."""

    least_items: int
    most_items: int
    users: int
    values: dict[str, float | None]
    """measure -> mean over these users; None if no list has a value"""


class PopularityGroup(msgspec.Struct, frozen=True):
    """Items that about as many users had."""

    from_share: float
    """of the items, most popular first: after which the group begins"""
    to_share: float
    learned: float
    """share of what users had when the model learned"""
    consumed: float
    """share of what was to be found"""
    recommended: float
    """share of the entries of all lists"""


def by_activity(of_lists: Mapping[str, Floats], had: Ints) -> list[ActivityGroup]:
    """Return the means of the users' values, in groups of users with fewer to more items.

    Args:
        of_lists: measure -> (m,) values.
        had: (m,) how many items each user had.
    """
    if not len(had):
        return []
    edges = np.unique(np.quantile(had, ACTIVITY_QUANTILES, method="inverted_cdf"))
    edges[0] -= 1
    groups = []
    for below, most in pairwise(edges) if len(edges) > 1 else [(edges[0], edges[0] + 1)]:
        members = (had > below) & (had <= most)
        groups.append(
            ActivityGroup(
                least_items=int(had[members].min()),
                most_items=int(had[members].max()),
                users=int(members.sum()),
                values={name: _mean(of_list[members]) for name, of_list in of_lists.items()},
            )
        )
    return groups


def by_popularity(learned: Ints, consumed: Ints, judged: Judged) -> list[PopularityGroup]:
    """Return what share of users' items, of sought items and of lists falls on which items.

    Args:
        learned: (n_items,) how many users had each.
        consumed: (n_items,) by how many each was to be found.
        judged: the lists.
    """
    n_items = len(learned)
    recommended = np.bincount(judged.items[judged.filled], minlength=n_items)
    order = np.argsort(-learned, kind="stable")
    ends = np.ceil(np.array(POPULARITY_SHARES) * n_items).astype(int)
    return [
        PopularityGroup(
            from_share=POPULARITY_SHARES[place],
            to_share=POPULARITY_SHARES[place + 1],
            learned=_share(learned, order[start:stop]),
            consumed=_share(consumed, order[start:stop]),
            recommended=_share(recommended, order[start:stop]),
        )
        for place, (start, stop) in enumerate(pairwise(ends.tolist()))
    ]


def _share(counts: Ints, items: Ints) -> float:
    return float(counts[items].sum() / max(counts.sum(), 1))


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
