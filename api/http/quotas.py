"""Rate limits: each caller's quota in a time window, and how much of it is left.

Writes are counted in events rather than requests, since events are the load on Kafka and the
workers; reads are counted in requests, and only for keys with a limit. Quotas are kept in memory: N
processes allow N times as much, and a restart resets them. The load balancer bounds the total.

Windows are fixed: one begins with a caller's first event or request and lasts the limit's period,
so the whole quota is available after `Retry-After`. Around the end of a window, up to twice the
quota passes. With a sliding window, full requests would wait for two windows.

The library `limits` parses limits, but does not count here: its counter in memory starts a thread
every 10 ms, and takes a fifth of the CPU of a hot request.
"""

import dataclasses
import math
import time
from collections.abc import Callable

from limits import RateLimitItem

from api.http.problems import RATE_LIMITED, Problem


@dataclasses.dataclass(slots=True)
class _Window:
    """A caller's window."""

    limit: RateLimitItem
    ends_s: float
    taken: int = 0


class _Quota:
    """Each caller's remaining quota in its window."""

    unit = ""
    """what is counted"""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._windows: dict[str, _Window] = {}
        """The last one of each caller: of as many as there are keys."""

    def take(self, caller: str, limit: RateLimitItem, n: int) -> None:
        """Take `n` from a caller's quota.

        Raises:
            Problem: fewer are left; none is taken then.
        """
        now_s = self._now_s()
        window = self._windows.get(caller)
        if window is None or now_s >= window.ends_s or not _is_same(window.limit, limit):
            window = self._windows[caller] = _Window(limit, now_s + limit.get_expiry())
        if window.taken + n > limit.amount:
            raise self._used_up(limit, window.ends_s - now_s)
        window.taken += n

    def _used_up(self, limit: RateLimitItem, left_s: float) -> Problem:
        wait_s = max(1, math.ceil(left_s))
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


def _is_same(one: RateLimitItem, other: RateLimitItem) -> bool:
    """Return whether two limits are equal; each reading of the key file makes new objects."""
    return one is other or one == other
