"""Rearranges recommended items: by diversity, and with new listings among them. Pure.

A new listing has no counts, so no list has it, and without being shown it would get none. It
borrows from its categories: it is recommended to users whose history is concentrated in one of
them, by how much more of it the category is than of all counts.

Source: the contrast of a user's share with everybody's is that of Steck, "Calibrated
recommendations", RecSys 2018; that a new item is known by its attributes, of Gantner et al.,
"Learning attribute-to-feature mappings for cold-start recommendations", ICDM 2010.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec.structs import replace

from api.generations.pointer import Generation
from api.instruments.catalog import Catalog, NewListings
from api.instruments.visibility import Shown
from api.recommendations.answers import Recommended
from api.recommendations.choosing import Wish
from api.recommendations.fold import REASONS
from contracts.fold_in import SCORE_DECIMALS
from contracts.messages import Floats

CANDIDATES: Final = 5
"""For each item."""


def diversity_of(wish: Wish, generation: Generation) -> float:
    """Return the diversity of an answer: the client's wish comes before the variant's setting."""
    return generation.served.diversity if wish.diversity is None else wish.diversity


def pool_for(wish: Wish, diversity: float) -> Wish:
    """Return the wish for the candidates, from the start of the list: whole blocks if diverse."""
    block = CANDIDATES * wish.n
    return replace(wish, n=-(-wish.end // block) * block if diversity else wish.end)


def diversified_up_to(
    wish: Wish,
    items: Sequence[Recommended],
    categories: Callable[[int], Collection[str]],
    diversity: float,
    since: int = 0,
) -> list[Recommended]:
    """Return the start of the list in which a page ends, each block of candidates diversified.

    A page of n is chosen out of `CANDIDATES` n, and the next pages are the rest of these: so pages
    of the same n have each item once.

    Args:
        wish: for a page.
        items: the candidates of `pool_for`, best first.
        categories: of an item.
        diversity: as for `diversified`; 0: the order stays.
        since: the order matters from this place on, so blocks before it stay as they are.
    """
    if not diversity:
        return [*items[: wish.end]]
    found, block = list[Recommended](), CANDIDATES * wish.n
    for start in range(0, wish.end, block):
        some, n = items[start : start + block], min(block, wish.end - start)
        is_before = start + block <= since
        found += some if is_before else diversified(some, categories, n, diversity)
    return found


def diversified(
    items: Sequence[Recommended],
    categories: Callable[[int], Collection[str]],
    n: int,
    diversity: float,
) -> list[Recommended]:
    """Return `n` of the items by maximal marginal relevance.

    The next one is the item with the largest `(1 - d) (1 - place / k) - d max similarity` to those
    before it, of equal ones the first. Relevance is by place, as scores of several sources cannot
    be compared. Similarity is the Jaccard index of categories; an item without any is similar to
    none.

    Source: Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering
    documents and producing summaries", SIGIR 1998.

    Args:
        items: k candidates, best first.
        categories: of an item.
        n: how many at most.
        diversity: d, 0 to 1.
    """
    relevance = (1 - diversity) * (1 - np.arange(len(items)) / max(len(items), 1))
    similarities = _similarities([categories(item.instrument_id) for item in items])
    nearest, places = np.zeros(len(items)), list[int]()
    for _ in range(min(n, len(items))):
        marginal = relevance - diversity * nearest
        marginal[places] = -np.inf
        places.append(int(marginal.argmax()))
        nearest = np.maximum(nearest, similarities[places[-1]])
    return [items[place] for place in places]


def _similarities(of_items: Sequence[Collection[str]]) -> Floats:
    """Return (k, k) the Jaccard index of the categories of any two items."""
    columns: dict[str, int] = {}
    for categories in of_items:
        for category in categories:
            columns.setdefault(category, len(columns))
    has = np.zeros((len(of_items), len(columns)))
    for row, categories in enumerate(of_items):
        has[row, [columns[category] for category in categories]] = 1
    both, sizes = has @ has.T, has.sum(axis=1)
    found: Floats = both / np.maximum(sizes[:, np.newaxis] + sizes - both, 1)
    return found


PER_NEW: Final = 10
"""One of so many recommended items may be a new listing."""
MAX_NEW: Final = 100
"""Considered for one list. All pages leave the same ones to their places, so none comes twice."""
CONCENTRATED: Final = 0.25
"""How much larger a category's share of the user's history is than its share of all counts."""


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
