"""How much an event raises a user's affinity for an item."""

import math
from collections.abc import Callable
from typing import Final

from contracts.messages import EVENT_TYPES, EventType

DAY_MS: Final = 86_400_000
_DECAY_STARTS_MS: Final = 1_577_836_800_000
"""2020-01-01, UTC: t0 of the forward decay; any constant gives the same cosines."""

EVENT_WEIGHTS: Final[dict[EventType, float]] = {"view": 1, "click": 2, "watch": 3, "trade": 5}
"""How much an event tells, in weighted mode; those of the Microsoft Recommenders' SAR, roughly."""

Affinity = Callable[[float, int, int], float]
"""(affinity so far, index into EVENT_TYPES, event time in epoch ms) -> the increase"""


def binary(so_far: float, event: int, ts_ms: int) -> float:  # noqa: ARG001 (one signature)
    """Return 1 for the first event, then 0.

    >>> binary(0, 0, 0), binary(1, 0, 0)
    (1.0, 0.0)
    """
    return 0.0 if so_far else 1.0


def weighted(half_life_days: float) -> Affinity:
    """Return the rule `w(event) x 2^((t - t0) / half_life)`.

    Forward decay (Cormode et al. 2009, "Forward decay: a practical time decay model for streaming
    systems"): nothing stored is touched again, and a later recomputation with an exponential
    half-life differs by a common factor, which cosine divides out.

    >>> weighted(30)(0, EVENT_TYPES.index("trade"), _DECAY_STARTS_MS + 30 * DAY_MS)
    10.0
    """
    weights = [EVENT_WEIGHTS[event] for event in EVENT_TYPES]

    def increase(so_far: float, event: int, ts_ms: int) -> float:  # noqa: ARG001 (one signature)
        half_lives = (ts_ms - _DECAY_STARTS_MS) / DAY_MS / half_life_days
        return weights[event] * math.exp2(half_lives)

    return increase
