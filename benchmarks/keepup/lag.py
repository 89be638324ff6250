"""What many latencies come to, and whether a lag grows. Pure."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SPAN: Final = 1 / 6
"""of a run: what the start, the middle and the end of a lag are averaged over"""
_ENDS_BELOW_S: Final = 2.0
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
        """Summarize them; a percentile is one of them, none in between: nearest rank.

        >>> Latencies.of([4.0, 1.0, 3.0, 2.0])
        Latencies(count=4, p50_s=2.0, p99_s=4.0, max_s=4.0)
        """
        if not latencies_s:
            return cls(0, math.nan, math.nan, math.nan)
        found = np.quantile(latencies_s, [0.5, 0.99, 1], method="inverted_cdf")
        return cls(len(latencies_s), *found.round(4).tolist())


def sliced(at_s: Sequence[float], latencies_s: Sequence[float], slice_s: float) -> list[Latencies]:
    """Summarize the latencies by when their quotes were published; a slice's end is open."""
    slices = defaultdict(list)
    for at, latency in zip(at_s, latencies_s, strict=True):
        slices[at // slice_s].append(latency)
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
    def is_low(self) -> bool:
        """Whether it ended low and did not grow."""
        return self.end_s < _ENDS_BELOW_S and self.growth < GROWS_ABOVE

    @classmethod
    def of(cls, at_s: Floats, lag_s: Floats) -> "Lag":
        """Summarize readings at rising times; both (n,), n of 2 or more."""
        share = (at_s - at_s[0]) / (at_s[-1] - at_s[0])
        middle = np.abs(share - 0.5) <= _SPAN / 2
        spans = (share <= _SPAN, middle if middle.any() else share <= 1, share >= 1 - _SPAN)
        growth = np.polynomial.Polynomial.fit(at_s, lag_s, 1).convert().coef[1]
        figures = (*(lag_s[span].mean() for span in spans), lag_s.max(), growth)
        return cls(*(round(float(figure), 4) for figure in figures))
