"""Percentiles of many latencies. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
