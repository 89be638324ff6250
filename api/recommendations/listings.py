"""Recommends new listings to those whom they concern. Pure.

A new listing has no counts, so no list has it, and without being shown it would get none. It
borrows from its categories: it is recommended to users whose history is concentrated in one of
them, by how much more of it the category is than of all counts.

Source: the contrast of a user's share with everybody's is that of Steck, "Calibrated
recommendations", RecSys 2018; that a new item is known by its attributes, of Gantner et al.,
"Learning attribute-to-feature mappings for cold-start recommendations", ICDM 2010.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from api.generations.listings import NewListings
from api.generations.popular import Boosts, Ranked, Shown
from api.http.filters import Filter
from api.http.named import N
from api.recommendations.answers import Recommended
from api.recommendations.fold import REASONS
from contracts.fold_in import SCORE_DECIMALS

PER_NEW: Final = 10
"""One of so many recommended items may be a new listing."""
MAX_NEW: Final = 100
"""Considered for one list. All pages leave the same ones to their places, so none comes twice."""
CONCENTRATED: Final = 0.25
"""How much larger a category's share of the user's history is than its share of all counts."""


class Catalog(Protocol):
    """Knows which instruments are listed, and in which categories."""

    version: int
    """changes with every change of the catalog; 0: it is empty"""

    def shown(self, wanted: Filter) -> Shown | None:
        """Return which instruments are listed and meet a filter's conditions; None if all do."""

    def boosts(self, asked: frozenset[str]) -> Boosts | None:
        """Return what the scores of instruments are multiplied by; None: by nothing."""

    def with_names(self, items: Sequence[N], *, names: bool) -> list[N]:
        """Return items with their symbols; with `names`, also with their names."""

    def categories(self, item: int) -> Collection[str]:
        """Return the categories of an instrument."""

    def new_listings(self, popular: Ranked) -> NewListings:
        """Return the listed instruments that are not in a popular list."""


def with_new(ranked: Sequence[Recommended], new: Sequence[Recommended]) -> list[Recommended]:
    """Return a list in which every item at a multiple of `PER_NEW` is a new listing.

    Those without such a place come last. So the start of a list does not depend on its length.
    """
    found, own = list[Recommended](), PER_NEW - 1
    for place, listing in enumerate(new):
        found += ranked[place * own : (place + 1) * own]
        found.append(replace(listing, source="new"))
    return [*found, *ranked[len(new) * own :]]


def concerning(
    weights: Mapping[int, float],
    catalog: Catalog,
    new: NewListings,
    left_out: Collection[int],
    shown: Shown | None,
) -> Iterator[Recommended]:
    """Yield the new listings that concern a user, those of the most distinctive category first.

    Args:
        weights: of each item that the user has.
        catalog: knows their categories.
        new: the new listings.
        left_out: items that must not be recommended.
        shown: filter of the items that may be shown; None: all.
    """
    known = {item: weight for item in weights if (weight := weights[item]) > 0}
    of_category: dict[str, list[int]] = defaultdict(list)
    for item in sorted(known, key=lambda item: (-known[item], item)):
        for category in catalog.categories(item):
            if category in new.of_category:
                of_category[category].append(item)
    total, done = sum(known.values()), {*left_out}
    contrasts = {
        category: sum(known[item] for item in items) / total - new.shares[category]
        for category, items in of_category.items()
    }
    for category in sorted(contrasts, key=lambda category: (-contrasts[category], category)):
        if contrasts[category] < CONCENTRATED:
            return
        score = round(contrasts[category], SCORE_DECIMALS)
        for item in new.of_category[category]:
            if item not in done and (shown is None or shown(item)):
                done.add(item)
                yield Recommended(item, score, of_category[category][:REASONS])
