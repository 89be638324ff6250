"""What was explored in an answer, and how probable each of its items was. Pure.

In a variant that explores, each slot of an answer gets, with the probability `parts / PARTS`, one
of the next best candidates at random instead of its own item. Slots are drawn independently, and
candidates uniformly and without repetition. So at a slot that may be explored, its own item is
shown with the probability `1 - parts / PARTS`, and each candidate with `parts / PARTS / pool`.
Where there are fewer candidates than slots, only the last slots may be explored, one for each.

The draw is logged in the answer's request id, not recomputed from a seed: so what was logged stays
readable, however later releases draw.
"""

import base64
import struct
from dataclasses import dataclass
from typing import Final

PARTS: Final = 1 << 16
"""The probability to explore is a multiple of 1 / PARTS, so that what is logged is exact."""
EXPLORATION_MOST: Final = 0.5
"""The largest share of slots that a variant may explore."""
DRAW_CHARACTERS: Final = 24
"""Of an answer with 100 items, as encoded."""

_VERSION: Final = 1
_HEAD: Final = struct.Struct("<BHH")
"""Version, parts, pool; then the explored slots, a bit each, the lowest one first."""


@dataclass(frozen=True, slots=True)
class Draw:
    """How an answer was drawn."""

    parts: int
    """PARTS times the probability that a slot is explored"""
    pool: int
    """number of candidates"""
    explored: frozenset[int] = frozenset()
    """slots, from 0"""

    def first(self, n: int) -> int:
        """Return the first slot of n that may be explored; n if none may."""
        return max(n - self.pool, 0)

    def chance(self, slot: int, n: int) -> float:
        """Return how probable it was that one of n slots is explored.

        >>> draw = Draw(PARTS // 4, pool=2)
        >>> draw.chance(0, n=3), draw.chance(1, n=3)
        (0.0, 0.25)
        """
        return self.parts / PARTS if slot >= self.first(n) else 0.0

    def propensity(self, slot: int, n: int) -> float:
        """Return how probable it was that one of n slots shows the item that it shows.

        >>> draw = Draw(PARTS // 4, pool=10, explored=frozenset([1]))
        >>> draw.propensity(0, n=3), draw.propensity(1, n=3)
        (0.75, 0.025)
        """
        chance = self.chance(slot, n)
        return chance / self.pool if slot in self.explored else 1 - chance


def parts_of(share: float) -> int:
    """Return the probability that a slot is explored, 0 to 1, as it is drawn and logged."""
    return round(share * PARTS)


def encode_draw(draw: Draw, n: int) -> str:
    """Return the draw of an answer with n items, as its request id has it.

    >>> encode_draw(Draw(3277, pool=40, explored=frozenset([2])), n=10)
    'Ac0MKAAEAA'
    """
    slots = sum(1 << slot for slot in draw.explored)
    packed = _HEAD.pack(_VERSION, draw.parts, draw.pool) + slots.to_bytes((n + 7) // 8, "little")
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_draw(text: str) -> Draw:
    """Return a draw from what `encode_draw` returns.

    >>> decode_draw("Ac0MKAAEAA")
    Draw(parts=3277, pool=40, explored=frozenset({2}))

    Raises:
        ValueError: it is another version's, or damaged.
    """
    packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(packed) < _HEAD.size or packed[0] != _VERSION:
        raise ValueError(f"{text!r} is not a draw of version {_VERSION}")
    _, parts, pool = _HEAD.unpack_from(packed)
    slots = int.from_bytes(packed[_HEAD.size :], "little")
    return Draw(parts, pool, frozenset(i for i in range(slots.bit_length()) if slots >> i & 1))
