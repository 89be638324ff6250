"""How many events each writer may send: the quota of a window of time, and what is left of it.

Counted in events, not in requests, since events are what Kafka and the workers carry. It is kept in
this process's memory: N processes allow N times as much, and a restart allows it anew. What all of
them take together is bounded where all of them meet, in the load balancer.

A window begins with a writer's first event and ends `WRITE_LIMIT`'s time later, so `Retry-After`
is when the whole quota is there again. Up to twice the quota passes around a window's end. A window
that slides would make full requests wait for two.
"""

import dataclasses
import math
import time

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from api.http.problems import RATE_LIMITED, Problem


class WriteQuota:
    """What each writer may still send."""

    def __init__(self, limit: RateLimitItem) -> None:
        self._limit = limit
        self._windows = FixedWindowRateLimiter(MemoryStorage())

    def spend(self, writer: str, events: int) -> None:
        """Take `events` of what a writer may send in its window.

        Raises:
            Problem: so many are not left; none is taken then.
        """
        if not self._windows.test(self._limit, writer, cost=events):
            raise self._used_up(writer)
        self._windows.hit(self._limit, writer, cost=events)

    def _used_up(self, writer: str) -> Problem:
        ends_s = self._windows.get_window_stats(self._limit, writer).reset_time
        wait_s = max(1, math.ceil(ends_s - time.time()))
        limit, window_s = self._limit.amount, self._limit.get_expiry()
        detail = f"At most {limit} events in {window_s} s are taken: try again after {wait_s} s"
        kind = dataclasses.replace(RATE_LIMITED, retry_after_s=wait_s)
        return Problem(kind, detail, limit=limit, window_s=window_s)
