"""Publishes batches at a pace: whatever is due, as soon as the publisher accepts it.

There are no tokens and no schedule: each round publishes all that became due since the last one, so
a feed that was delayed (by a slow broker, or by a back-fill of the past) catches up by itself.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Event
from typing import Final

import numpy as np

from producers.batch import Batch
from producers.publisher import Publisher

MAX_SPEED: Final = math.inf
QUEUE_FULL_WAIT_S: Final = 0.02
SHORTEST_WAIT_S: Final = 0.005
"""A few records per round, rather than a round for each of thousands per second."""
LONGEST_WAIT_S: Final = 0.2
"""So that delivery reports and the progress keep updating."""


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


def feed(
    batches: Iterable[Batch],
    sink: Publisher,
    *,
    speed: float,
    event_start_ms: int | None,
    clock: Callable[[], float],
    stop: Event,
    after_round: Callable[[], None],
) -> None:
    """Publish all batches, until `stop` or the first record that could not be delivered.

    Nothing is published after a lost record: that would hide a gap.

    Args:
        batches: in publishing order; each is requested once the previous one is published.
        sink: receives the records.
        speed: seconds of event time per second of the clock.
        event_start_ms: the event time that is due right now; None: that of the first record.
        clock: seconds, from any origin.
        stop: ends the feed early.
        after_round: called after each round.
    """
    pace: Pace | None = None
    for batch in batches:
        if pace is None:
            start_ms = int(batch.ts_ms[0]) if event_start_ms is None else event_start_ms
            pace = Pace(speed, start_ms, clock())
        # A record after one with a later event time is due with it.
        due_ms = np.maximum.accumulate(batch.ts_ms)
        start = 0
        while start < len(due_ms):
            if stop.is_set() or sink.failed:
                return
            now_s = clock()
            end = max(start, int(np.searchsorted(due_ms, pace.horizon_ms(now_s), side="right")))
            start += sink.publish(batch.records[start:end])
            if start < end:
                sink.poll(QUEUE_FULL_WAIT_S)
            else:
                sink.poll(0)
                if start < len(due_ms):
                    wait_s = pace.seconds_until(float(due_ms[start]), now_s)
                    stop.wait(min(max(wait_s, SHORTEST_WAIT_S), LONGEST_WAIT_S))
            after_round()
