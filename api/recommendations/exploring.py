"""Explores: shows some of the next best items at random, and says how. Pure but for the draw.

Which item gets a slot, and how probable that was, is defined in `contracts.exploration`. What is
explored costs clicks, and shows how good the ranking is: of what is never shown, nothing is known.

Source: Swaminathan and Joachims, "Counterfactual risk minimization", ICML 2015, for logging with
known propensities; that a slot is explored at random, of the epsilon-greedy policy: Li et al.,
"A contextual-bandit approach to personalized news article recommendation", WWW 2010.
"""

import dataclasses
from collections.abc import Sequence
from random import Random
from typing import Final

from msgspec.structs import replace

from api.recommendations.answers import Recommended
from api.recommendations.choosing import Chosen
from contracts.exploration import PARTS, Draw, parts_of

_BITS: Final = PARTS.bit_length() - 1


def with_candidates(
    chosen: Chosen, shown: Sequence[Recommended], ranked: Sequence[Recommended]
) -> Chosen:
    """Return a chosen page, and what was ranked and is on no page up to it as candidates.

    Args:
        chosen: has the items of the page.
        shown: all items of the list up to the end of the page.
        ranked: best first.
    """
    taken = {item.instrument_id for item in shown}
    rest = [item for item in ranked if item.instrument_id not in taken]
    return replace(chosen, candidates=rest)


def explored(chosen: Chosen, share: float, random: Random) -> tuple[list[Recommended], Draw]:
    """Return the items of one answer, and how they were drawn.

    Args:
        chosen: items, best first, and candidates to explore.
        share: probability that a slot is explored.
        random: draws.
    """
    items, candidates = [*chosen.items], chosen.candidates
    draw = Draw(parts_of(share), len(candidates))
    first, n = draw.first(len(items)), len(items)
    slots = [slot for slot in range(first, n) if random.getrandbits(_BITS) < draw.parts]
    drawn = random.sample(candidates, len(slots))
    for slot, item in zip(slots, drawn, strict=True):
        items[slot] = replace(item, explored=True)
    return items, dataclasses.replace(draw, explored=frozenset(slots))
