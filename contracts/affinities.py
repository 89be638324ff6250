"""A user's affinity for an item: how it is stored, and how events add up to it. Pure.

A rule of `AFFINITY` takes the current affinity, 0 before the first event, and returns the new one.
The stream processors use it; a recomputation of histories from files gives the same numbers, to the
last bit.

Types of events have weights, `contracts.event_types`. One that does not weigh more than 0 rejects
an item: then the affinity is what the latest of them weighs, 0 or less, which never counts in G;
after that, other events start from 0 again.
"""

import math
from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec
import numpy as np

from contracts.decoding import Floats, Ints
from contracts.times import DAY_MS


class HistoryEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A user's history with one item; `s`, `v` and `n` are present if users are weighted."""

    r: float
    """affinity; 0 or less: the item is rejected and does not count"""
    t: int
    """last event time, epoch ms"""
    s: float = 1
    """the user's scale, included in the affinity"""
    v: float = 0
    """sum of the values of the transactions that have one"""
    n: int = 0
    """number of transactions with a value"""
    f: int | None = None
    """first event time, epoch ms; absent: the same as the last"""

    @property
    def first_ms(self) -> int:
        """The first event time, epoch ms."""
        return self.t if self.f is None else self.f


AffinityName = Literal["binary", "weighted", "greatest"]
"""1 after the first event; the sum of the events' decayed weights; the greatest of these. Of a
rejected item: the sign of the latest rejection's weight, or this weight, decayed"""

DECAY_STARTS_MS: Final = 1_577_836_800_000
"""2020-01-01 UTC, t0 of the forward decay; any constant gives the same cosines."""

FURTHEST_VALUE: Final = 1_000.0
"""The factor by which a transaction may count more or less than the typical value, if users are
weighted by value: a mistyped quantity must not outweigh everything else."""

LEAST_WEIGHT: Final = 2.0**-400
"""Of an event that does not reject: a product of two affinities is a count, and must not be 0."""

Affinity = Callable[[float, float, int], float]
"""(affinity so far, weight of the event's type, event time in epoch ms) -> the new affinity"""


def affinity_of(name: AffinityName, half_life_days: float) -> Affinity:
    """Return the rule of that name; the half-life does not matter to `binary`."""
    if name == "weighted":
        return weighted(half_life_days)
    if name == "greatest":
        return greatest(half_life_days)
    return binary


def binary(so_far: float, weight: float, ts_ms: int) -> float:  # noqa: ARG001 (one signature)
    """Return 1, or the sign of a rejection's weight.

    >>> binary(0, 2, 0), binary(1, 2, 0), binary(1, 0, 0), binary(1, -5, 0)
    (1.0, 1.0, 0.0, -1.0)
    """
    return math.copysign(1.0, weight) if weight else 0.0


def weighted(half_life_days: float) -> Affinity:
    """Return the rule of sums: each event adds `weight x 2^((t - t0) / half_life)`.

    Forward decay (Cormode et al. 2009, "Forward decay: a practical time decay model for streaming
    systems"): stored values need no update, and a later recomputation with an exponential half-life
    differs by a common factor, which cosine cancels.

    >>> weighted(30)(1, 5, DECAY_STARTS_MS + 30 * DAY_MS)
    11.0
    """

    def add(so_far: float, weight: float, ts_ms: int) -> float:
        decayed = _decayed(weight, ts_ms, half_life_days)
        return so_far + decayed if weight > 0 else decayed

    return add


def greatest(half_life_days: float) -> Affinity:
    """Return the rule of maxima: the highest `weight x 2^((t - t0) / half_life)` so far.

    The result is the weight of a single event, so neither repetitions nor the order of events
    matter. `weighted` measures how often a user came back, this rule how much the strongest event
    still counts.

    >>> rule = greatest(30)
    >>> rule(11.0, 5, DECAY_STARTS_MS + 30 * DAY_MS)
    11.0
    >>> rule(1.0, 5, DECAY_STARTS_MS + 30 * DAY_MS)
    10.0
    """

    def raised(so_far: float, weight: float, ts_ms: int) -> float:
        decayed = _decayed(weight, ts_ms, half_life_days)
        return max(so_far, decayed) if weight > 0 else decayed

    return raised


def _decayed(weight: float, ts_ms: int, half_life_days: float) -> float:
    decayed = weight * math.exp2((ts_ms - DECAY_STARTS_MS) / DAY_MS / half_life_days)
    return max(decayed, LEAST_WEIGHT) if weight > 0 else decayed


def weights_of(name: AffinityName, weight: Floats, ts_ms: Ints, half_life_days: float) -> Floats:
    """Return what each event weighs, (n,), by the rule's name, to the last bit.

    If affinities are binary, the sign of that.

    Args:
        name: of the rule.
        weight: (n,), of the events' types.
        ts_ms: (n,), event times, epoch ms.
        half_life_days: above 0; does not matter to `binary`.

    Raises:
        OverflowError: an event is more than some 1,000 half-lives after t0.

    >>> ts_ms = np.array([DECAY_STARTS_MS, DECAY_STARTS_MS + DAY_MS])
    >>> weights_of("weighted", np.array([1.0, 5.0]), ts_ms, 1)
    array([ 1., 10.])
    """
    if name == "binary":
        return np.sign(weight)
    half_lives = (ts_ms - DECAY_STARTS_MS) / DAY_MS / half_life_days
    # np.exp2 differs from math.exp2 by an ulp on some processors.
    powers: Iterable[float] = map(math.exp2, half_lives.tolist())
    decayed = weight * np.fromiter(powers, np.float64, len(half_lives))
    return np.where(weight > 0, np.maximum(decayed, LEAST_WEIGHT), decayed)
