"""Decides which minutes of a partition are closed, from event times and a clock.

The watermark is the greatest event time so far minus the allowed lateness. A minute is closed once
the watermark has passed its end. An event time ahead of the clock is capped at the clock: one feed
that is ahead would close the minutes of all others too early.

An idle partition closes its last minutes by the clock. Quotes that still arrive for a closed minute
revise its bars, so the final bars do not depend on the clock.
"""

from collections.abc import Callable
from typing import Final

from contracts.messages import Ints
from contracts.times import MINUTE_MS

IDLE_AFTER_S: Final = 60
"""By the clock, on top of the allowed lateness: after that the partition counts as idle."""


class Closing:
    """How far the minutes of one partition are closed."""

    def __init__(
        self, close_after_s: float, closed_minute: int, clock_s: Callable[[], float]
    ) -> None:
        """Take the allowed lateness, the newest closed minute, and the wall clock."""
        self.minute = closed_minute
        """the newest closed minute"""
        self.newest_ts_ms = 0
        """the greatest event time so far"""
        self._close_after_s = close_after_s
        self._clock_s = clock_s
        self._came_at_s = clock_s()

    def note(self, ts_ms: Ints) -> None:
        """Note the event times, (n,), of quotes that arrived; n may be 0."""
        if len(ts_ms):
            self.newest_ts_ms = max(self.newest_ts_ms, int(ts_ms.max()))
            self._came_at_s = self._clock_s()

    def is_due(self, oldest: int) -> bool:
        """Return whether the clock closes a minute even though nothing arrived."""
        now_s = self._clock_s()
        return self._is_idle(now_s) and oldest <= self._ended(now_s)

    def advance(self, newest: int) -> int:
        """Close minutes that are due; return the newest closed one.

        Args:
            newest: the newest minute that has a bar: the clock closes none beyond it.
        """
        now_s = self._clock_s()
        minute = self._ended(min(self.newest_ts_ms / 1000, now_s))
        if self._is_idle(now_s):
            minute = max(minute, min(newest, self._ended(now_s)))
        self.minute = max(self.minute, minute)
        return self.minute

    def first_minute_after(self, ts_ms: int) -> int:
        """Return the first minute that no quote before one of `ts_ms` can belong to."""
        return -int(-(ts_ms + 1000 * self._close_after_s) // MINUTE_MS)

    def _is_idle(self, now_s: float) -> bool:
        return now_s - self._came_at_s >= IDLE_AFTER_S + self._close_after_s

    def _ended(self, at_s: float) -> int:
        """Return the newest minute that ended long enough before a time."""
        return int((at_s - self._close_after_s) * 1000) // MINUTE_MS - 1
