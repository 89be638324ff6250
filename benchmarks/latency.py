"""What many latencies come to, and whether a lag grows. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SPAN: Final = 1 / 6
"""of a run: what the start, the middle and the end of a lag are averaged over"""
ENDS_BELOW_S: Final = 2.0
GROWS_ABOVE: Final = 0.02
"""Seconds a second. A worker writes once a second, so its lag is a saw: a line fitted to a few
seconds of it has a slope of its own."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """A summary of some latencies, in seconds; NaN if there are none."""

    count: int
    p50_s: float
    p99_s: float
    max_s: float

    @classmethod
    def of(cls, latencies_s: Sequence[float]) -> "Latencies":
        """Summarize them."""
        ranked = sorted(latencies_s)
        return cls(
            len(ranked), percentile(ranked, 50), percentile(ranked, 99), percentile(ranked, 100)
        )


def percentile(ranked: Sequence[float], percent: float) -> float:
    """Return the least value that `percent` of the rising values do not exceed, 0 < percent <= 100.

    It is one of the values, none in between: nearest rank.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50)
    2.0
    """
    if not ranked:
        return math.nan
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def sliced(at_s: Sequence[float], latencies_s: Sequence[float], slice_s: float) -> list[Latencies]:
    """Summarize the latencies of each slice of time, in which their quotes were published.

    Args:
        at_s: seconds from the start, not negative, (n,).
        latencies_s: those of the same n quotes.
        slice_s: length of a slice, whose end is open.
    """
    slices: dict[int, list[float]] = {}
    for at, latency in zip(at_s, latencies_s, strict=True):
        slices.setdefault(int(at // slice_s), []).append(latency)
    return [Latencies.of(slices[number]) for number in sorted(slices)]


@dataclass(frozen=True, slots=True)
class Lag:
    """How far behind the folding was, in seconds' worth of records."""

    start_s: float
    middle_s: float
    end_s: float
    max_s: float
    growth: float
    """slope of the straight line through it: seconds a second"""

    @property
    def keeps_up(self) -> bool:
        """Whether it ended low and did not grow."""
        return self.end_s < ENDS_BELOW_S and self.growth < GROWS_ABOVE

    @classmethod
    def of(cls, at_s: Floats, lag_s: Floats) -> "Lag":
        """Summarize readings at rising times; both (n,), n of 2 or more."""
        share = (at_s - at_s[0]) / (at_s[-1] - at_s[0])
        middle = np.abs(share - 0.5) <= _SPAN / 2
        return cls(
            start_s=float(lag_s[share <= _SPAN].mean()),
            middle_s=float(lag_s[middle].mean()) if middle.any() else math.nan,
            end_s=float(lag_s[share >= 1 - _SPAN].mean()),
            max_s=float(lag_s.max()),
            growth=slope(at_s, lag_s),
        )


def slope(x: Floats, y: Floats) -> float:
    """Return the slope of the straight line of least squares; both (n,), n of 2 or more.

    >>> slope(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]))
    2.0
    """
    centered = x - x.mean()
    return float((centered * y).sum() / (centered**2).sum())


def outstanding(at: Floats, published_at: Floats, published: Floats, folded: Floats) -> Floats:
    """Return how many records were published but not folded at each reading, none below 0.

    Args:
        at: when the folded ones were counted, rising, (n,).
        published_at: when the published ones were counted, rising, (m,), in the same unit.
        published: so many by then, (m,); in between they are taken to come evenly.
        folded: so many, (n,).
    """
    behind: Floats = np.maximum(0.0, np.interp(at, published_at, published) - folded)
    return behind
