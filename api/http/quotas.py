"""What each caller may still do: the quota of a window of time, and what is left of it.

Writes are counted in events, not in requests, since events are what Kafka and the workers carry;
reads in requests, and only those of keys that have a limit. It is kept in this process's memory: N
processes allow N times as much, and a restart allows it anew. What all of them take together is
bounded where all of them meet, in the load balancer.

A window begins with a caller's first event or request and ends the limit's time later, so
`Retry-After` is when the whole quota is there again. Up to twice the quota passes around a window's
end. A window that slides would make full requests wait for two.
"""

import dataclasses
import math
import time

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from api.http.problems import RATE_LIMITED, Problem


class _Quota:
    """What each caller may still send in its window."""

    unit = ""
    """what is counted"""

    def __init__(self) -> None:
        self._windows = FixedWindowRateLimiter(MemoryStorage())

    def take(self, caller: str, limit: RateLimitItem, n: int) -> None:
        """Take `n` of what a caller may send in its window.

        Raises:
            Problem: so many are not left; none is taken then.
        """
        if not self._windows.test(limit, caller, cost=n):
            raise self._used_up(caller, limit)
        self._windows.hit(limit, caller, cost=n)

    def _used_up(self, caller: str, limit: RateLimitItem) -> Problem:
        ends_s = self._windows.get_window_stats(limit, caller).reset_time
        wait_s = max(1, math.ceil(ends_s - time.time()))
        most, window_s = limit.amount, limit.get_expiry()
        detail = f"At most {most} {self.unit} in {window_s} s are taken: try again after {wait_s} s"
        kind = dataclasses.replace(RATE_LIMITED, retry_after_s=wait_s)
        return Problem(kind, detail, limit=most, window_s=window_s)


class ReadQuota(_Quota):
    """The requests that each key with a limit may still make."""

    unit = "requests"

    def spend(self, reader: str, limit: RateLimitItem) -> None:
        """Take a request of a reader's; Problem if none is left."""
        self.take(reader, limit, 1)


class WriteQuota(_Quota):
    """The events that each writer may still send."""

    unit = "events"

    def __init__(self, limit: RateLimitItem) -> None:
        """Hold those to `limit` who have none of their own."""
        super().__init__()
        self._limit = limit

    def spend(self, writer: str, events: int, own: RateLimitItem | None = None) -> None:
        """Take `events` of a writer's, by its `own` limit if it has one; Problem as of `take`."""
        self.take(writer, own or self._limit, events)
