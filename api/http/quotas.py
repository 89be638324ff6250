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
import time
from collections.abc import Callable
from math import ceil
from typing import Final

from limits import RateLimitItem

from api.http.problems import RATE_LIMITED, Problem

_HEAD: Final = b'ratelimit-policy: "%b";q=%d;w=%d\r\nratelimit: "%b";r='


@dataclasses.dataclass(slots=True)
class _Window:
    """A caller's window."""

    limit: RateLimitItem
    most: int
    head: bytes
    """the fields that report it, up to what is left"""
    ends_s: float
    taken: int = 0

    def fields(self, now_s: float) -> bytes:
        """Return the headers of draft-ietf-httpapi-ratelimit-headers-10, as they are sent."""
        return b"%b%d;t=%d\r\n" % (self.head, self.most - self.taken, self.wait_s(now_s))

    def wait_s(self, now_s: float) -> int:
        """Return after how many seconds it ends, 1 at least."""
        return ceil(self.ends_s - now_s) or 1


class Quota:
    """Each caller's remaining quota in its window."""

    def __init__(self, unit: str, now_s: Callable[[], float] = time.monotonic) -> None:
        """Count by a clock; the unit of what is counted also names the policy."""
        self._unit = unit
        self._now_s = now_s
        self._windows: dict[str, _Window] = {}
        """The last one of each caller: of as many as there are keys."""

    def take(self, caller: str, limit: RateLimitItem, n: int, before: int = 0) -> bytes:
        """Take `n` from a caller's quota, and return the headers that report what is left.

        `before` were taken for the same request already.

        Raises:
            Problem: fewer are left; none is taken then.
        """
        now_s = self._now_s()
        window = self._window(caller, limit, now_s)
        if window.taken + n > window.most:
            raise self._used_up(window, before + n, now_s)
        window.taken += n
        # As `fields`, at half the cost: hot requests come here.
        left, wait_s = window.most - window.taken, ceil(window.ends_s - now_s)
        return b"%b%d;t=%d\r\n" % (window.head, left, wait_s or 1)

    def _window(self, caller: str, limit: RateLimitItem, now_s: float) -> _Window:
        """Return a caller's window, a new one if the last has ended or had another limit."""
        window = self._windows.get(caller)
        if (
            window is None
            or now_s >= window.ends_s
            # Mostly it is the same object; each reading of the key file makes new ones.
            or (window.limit is not limit and window.limit != limit)
        ):
            window = self._windows[caller] = self._begun(limit, now_s)
        return window

    def _begun(self, limit: RateLimitItem, now_s: float) -> _Window:
        name, most, window_s = self._unit.encode(), limit.amount, limit.get_expiry()
        head = _HEAD % (name, most, window_s, name)
        return _Window(limit, most, head, now_s + window_s)

    def _used_up(self, window: _Window, cost: int, now_s: float) -> Problem:
        wait_s = window.wait_s(now_s)
        most, window_s = window.most, window.limit.get_expiry()
        when = "send fewer at once" if cost > most else f"try again after {wait_s} s"
        detail = f"At most {most} {self._unit} in {window_s} s: {when}"
        kind = dataclasses.replace(RATE_LIMITED, retry_after_s=wait_s)
        problem = Problem(kind, detail, limit=most, window_s=window_s)
        problem.rate = window.fields(now_s)
        return problem
