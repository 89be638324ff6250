"""Computes when an event is due: pure arithmetic on event time and a clock."""

import math
from dataclasses import dataclass
from typing import Final

MAX_SPEED: Final = math.inf


@dataclass(frozen=True, slots=True)
class Pace:
    """Event time runs `speed` times as fast as the clock, from a common start.

    >>> pace = Pace(speed=60, event_start_ms=1_000_000, clock_start_s=50.0)
    >>> pace.horizon_ms(clock_s=51.0)
    1060000.0
    >>> pace.seconds_until(1_120_000, clock_s=51.0)
    1.0
    """

    speed: float
    """above 0; infinite: everything is due at once"""
    event_start_ms: float
    """the event time that is due at `clock_start_s`"""
    clock_start_s: float

    def horizon_ms(self, clock_s: float) -> float:
        """Return the latest event time that is due."""
        if math.isinf(self.speed):
            return math.inf
        return self.event_start_ms + (clock_s - self.clock_start_s) * self.speed * 1000

    def seconds_until(self, ts_ms: float, clock_s: float) -> float:
        """Return the seconds until an event time is due; negative once it is."""
        return (ts_ms - self.horizon_ms(clock_s)) / self.speed / 1000


def parse_speed(text: str) -> float:
    """Parse `1x`, `60x`, `0.5x` or `max`.

    Raises:
        ValueError: it is none of these, or not above 0.
    """
    if text == "max":
        return MAX_SPEED
    try:
        factor = float(text.removesuffix("x")) if text.endswith("x") else math.nan
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise ValueError(f"speed {text!r} is neither a factor above 0, like 1x or 60x, nor max")
    return factor
