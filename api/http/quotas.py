"""Rate limits: each caller's quota in a time window, and how much of it is left.

Writes are counted in events rather than requests, since events are the load on Kafka and the
workers; reads are counted in requests, and only for keys with a limit. Quotas are kept in memory: N
processes allow N times as much, and a restart resets them. The load balancer bounds the total.

Windows are fixed: one begins with a caller's first event or request and lasts the limit's period,
so the whole quota is available after `Retry-After`. Around the end of a window, up to twice the
quota passes. With a sliding window, full requests would wait for two windows.
"""

import dataclasses
import math
import time

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from api.http.problems import RATE_LIMITED, Problem


class _Quota:
    """Each caller's remaining quota in its window."""

    unit = ""
    """what is counted"""

    def __init__(self) -> None:
        self._windows = FixedWindowRateLimiter(MemoryStorage())

    def take(self, caller: str, limit: RateLimitItem, n: int) -> None:
        """Take `n` from a caller's quota.

        Raises:
            Problem: fewer are left; none is taken then.
        """
        if not self._windows.test(limit, caller, cost=n):
            raise self._used_up(caller, limit)
        self._windows.hit(limit, caller, cost=n)

    def _used_up(self, caller: str, limit: RateLimitItem) -> Problem:
        ends_s = self._windows.get_window_stats(limit, caller).reset_time
        wait_s = max(1, math.ceil(ends_s - time.time()))
        most, window_s = limit.amount, limit.get_expiry()
        detail = f"At most {most} {self.unit} in {window_s} s: try again after {wait_s} s"
        kind = dataclasses.replace(RATE_LIMITED, retry_after_s=wait_s)
        return Problem(kind, detail, limit=most, window_s=window_s)


class ReadQuota(_Quota):
    """The requests that each key with a limit may still make."""

    unit = "requests"

    def spend(self, reader: str, limit: RateLimitItem) -> None:
        """Count a request of a reader; Problem if none is left."""
        self.take(reader, limit, 1)


class WriteQuota(_Quota):
    """The events that each writer may still send."""

    unit = "events"

    def __init__(self, limit: RateLimitItem) -> None:
        """Apply `limit` to writers without a limit of their own."""
        super().__init__()
        self._limit = limit

    def spend(self, writer: str, events: int, own: RateLimitItem | None = None) -> None:
        """Count `events` of a writer, by its `own` limit if it has one; Problem as for `take`."""
        self.take(writer, own or self._limit, events)
