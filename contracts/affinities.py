"""How a user's events add up to the affinity for an item: the rules of `AFFINITY`. Pure.

A rule takes the current affinity, 0 before the first event, and returns the new one. The stream
processors use it; a recomputation of histories from files gives the same numbers, to the last bit.

Kinds of events that do not weigh more than 0 reject an item: the user must not be shown it again.
Then the affinity is what the latest of them weighs, 0 or less, which never counts in G; after that,
other events start from 0 again.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import numpy as np

from contracts.messages import EVENT_TYPES, EventType, Floats, Ints
from contracts.times import DAY_MS

AffinityName = Literal["binary", "weighted", "greatest"]
"""1 after the first event; the sum of the events' decayed weights; the greatest of these. Of a
rejected item: the sign of the latest rejection's weight, or this weight, decayed"""

DECAY_STARTS_MS: Final = 1_577_836_800_000
"""2020-01-01 UTC, t0 of the forward decay; any constant gives the same cosines."""

EVENT_WEIGHTS: Final[dict[EventType, float]] = {
    "view": 1,
    "click": 2,
    "watch": 3,
    "trade": 5,
    "hide": 0,
    "dislike": -5,
}
"""Weight of each kind of event, if they are weighted: roughly those of Microsoft Recommenders'
SAR. A disliked item counts against others as much as a traded one for them; a hidden one says
nothing about others."""
_WEIGHTS: Final = [float(EVENT_WEIGHTS[event]) for event in EVENT_TYPES]
_SIGNS: Final[Sequence[float]] = np.sign(_WEIGHTS).tolist()
REJECTS: Final[Sequence[bool]] = [weight <= 0 for weight in _WEIGHTS]
"""Whether each kind of event rejects its item, by index into EVENT_TYPES."""

FURTHEST_VALUE: Final = 1_000.0
"""The factor by which a transaction may count more or less than the typical value, if users are
weighted by value: a mistyped quantity must not outweigh everything else."""

Affinity = Callable[[float, int, int], float]
"""(affinity so far, index into EVENT_TYPES, event time in epoch ms) -> the new affinity"""


def affinity_of(name: AffinityName, half_life_days: float) -> Affinity:
    """Return the rule of that name; the half-life does not matter to `binary`."""
    if name == "weighted":
        return weighted(half_life_days)
    if name == "greatest":
        return greatest(half_life_days)
    return binary


def binary(so_far: float, event: int, ts_ms: int) -> float:  # noqa: ARG001 (one signature)
    """Return 1, or the sign of a rejection's weight.

    >>> binary(0, 0, 0), binary(1, 0, 0), binary(1, EVENT_TYPES.index("dislike"), 0)
    (1.0, 1.0, -1.0)
    """
    return _SIGNS[event]


def weighted(half_life_days: float) -> Affinity:
    """Return the rule of sums: each event adds `w(event) x 2^((t - t0) / half_life)`.

    Forward decay (Cormode et al. 2009, "Forward decay: a practical time decay model for streaming
    systems"): stored values need no update, and a later recomputation with an exponential half-life
    differs by a common factor, which cosine cancels.

    >>> weighted(30)(1, EVENT_TYPES.index("trade"), DECAY_STARTS_MS + 30 * DAY_MS)
    11.0
    """
    weight = _weight(half_life_days)

    def add(so_far: float, event: int, ts_ms: int) -> float:
        return weight(event, ts_ms) if REJECTS[event] else so_far + weight(event, ts_ms)

    return add


def greatest(half_life_days: float) -> Affinity:
    """Return the rule of maxima: the highest `w(event) x 2^((t - t0) / half_life)` so far.

    The result is the weight of a single event, so neither repetitions nor the order of events
    matter. `weighted` measures how often a user came back, this rule how much the strongest event
    still counts.

    >>> rule = greatest(30)
    >>> rule(11.0, EVENT_TYPES.index("trade"), DECAY_STARTS_MS + 30 * DAY_MS)
    11.0
    >>> rule(1.0, EVENT_TYPES.index("trade"), DECAY_STARTS_MS + 30 * DAY_MS)
    10.0
    """
    weight = _weight(half_life_days)

    def raised(so_far: float, event: int, ts_ms: int) -> float:
        return weight(event, ts_ms) if REJECTS[event] else max(so_far, weight(event, ts_ms))

    return raised


def _weight(half_life_days: float) -> Callable[[int, int], float]:
    """Return the function that weighs an event by its kind and its time."""

    def weight(event: int, ts_ms: int) -> float:
        half_lives = (ts_ms - DECAY_STARTS_MS) / DAY_MS / half_life_days
        return _WEIGHTS[event] * math.exp2(half_lives)

    return weight


def weights_of(name: AffinityName, event: Ints, ts_ms: Ints, half_life_days: float) -> Floats:
    """Return what each event weighs, (n,): `w(event) x 2^((t - t0) / half_life)`.

    If affinities are binary, the sign of that. The weights equal those of the rules to the last
    bit.

    Args:
        name: of the rule.
        event: (n,), indices into EVENT_TYPES.
        ts_ms: (n,), event times, epoch ms.
        half_life_days: above 0; does not matter to `binary`.

    Raises:
        OverflowError: an event is more than some 1,000 half-lives after t0.

    >>> ts_ms = np.array([DECAY_STARTS_MS, DECAY_STARTS_MS + DAY_MS])
    >>> weights_of("weighted", np.array([0, 3]), ts_ms, 1)
    array([ 1., 10.])
    """
    if name == "binary":
        return np.array(_SIGNS)[event]
    half_lives = (ts_ms - DECAY_STARTS_MS) / DAY_MS / half_life_days
    # np.exp2 differs from math.exp2 by an ulp on some processors.
    powers: Iterable[float] = map(math.exp2, half_lives.tolist())
    return np.array(_WEIGHTS)[event] * np.fromiter(powers, np.float64, len(half_lives))
