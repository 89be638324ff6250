"""Explores: shows some of the next best items at random, and says how. Pure.

Which item gets a slot, and how probable that was, is defined in `contracts.exploration`. What is
explored costs clicks, and shows how good the ranking is: of what is never shown, nothing is known.
An explored item changes places with that of its slot, and a page repeats the draws of those before
it, so that pages joined have each item once.

Source: Swaminathan and Joachims, "Counterfactual risk minimization", ICML 2015, for logging with
known propensities; that a slot is explored at random, of the epsilon-greedy policy: Li et al.,
"A contextual-bandit approach to personalized news article recommendation", WWW 2010.
"""

import dataclasses
from random import Random
from typing import Final

from msgspec.structs import replace

from api.recommendations.answers import Recommended
from api.recommendations.choosing import Explorable
from api.recommendations.diversity import ranked_for
from contracts.exploration import PARTS, Draw, parts_of

_BITS: Final = PARTS.bit_length() - 1


def explored(found: Explorable, share: float, seed: str) -> tuple[list[Recommended], Draw]:
    """Return the items of a page, and how they were drawn.

    Args:
        found: what the page is drawn from.
        share: probability that a slot is explored.
        seed: of all pages of a list.
    """
    moved: dict[int, Recommended] = {}
    """By explored item: what is at its place instead."""
    shown: set[int] = set()
    starts = [*range(found.offset % found.n, found.offset + 1, found.n)]
    if starts[0]:
        starts.insert(0, 0)
    for start, end in zip(starts, [*starts[1:], found.offset + found.n], strict=True):
        items = [_at_place_of(item, moved) for item in found.items[start:end]]
        taken = shown.union(item.instrument_id for item in items)
        ranked = found.ranked[: ranked_for(start, found.n, found.diversity, share)]
        candidates = [item for item in ranked if item.instrument_id not in taken]
        random = Random(f"{seed} {start}")  # noqa: S311 (what is explored is no secret)
        draw = Draw(parts_of(share), len(candidates))
        first, n = draw.first(len(items)), len(items)
        slots = [slot for slot in range(first, n) if random.getrandbits(_BITS) < draw.parts]
        for slot, item in zip(slots, random.sample(candidates, len(slots)), strict=True):
            moved[item.instrument_id] = items[slot]
            items[slot] = replace(item, explored=True)
        shown.update(item.instrument_id for item in items)
    return items, dataclasses.replace(draw, explored=frozenset(slots))


def _at_place_of(item: Recommended, moved: dict[int, Recommended]) -> Recommended:
    """Return what is at the place that an item had before all draws."""
    while (other := moved.get(item.instrument_id)) is not None:
        item = other
    return item
