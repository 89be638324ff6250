"""One user's history while the events come, one at a time: the fold of the stream. Pure."""

import heapq
import math
from typing import Final, NamedTuple

from contracts.affinities import FURTHEST_VALUE, affinity_of
from contracts.log_position import LogPosition
from contracts.tombstones import NEVER_MS, Tombstone
from runtime.settings import FoldingSettings

UNCONDITIONAL_MS: Final = 2**63 - 1
"""In the place of `last_event_before` where a tombstone has none: every event is before it."""
_ROOM_FOR_STALE: Final = 4
"""How many times the cap the heap may hold before it is rebuilt, which bounds it."""


class Entry(NamedTuple):
    """What a user has with an item."""

    affinity: float
    """without the user's scale"""
    ts_ms: int
    """last event time"""
    first_ms: int
    """first event time"""
    total: float = 0.0
    """sum of the values of its `n_values` transactions that have one, each bounded"""
    n_values: int = 0


class RunningHistory:
    """The items of one user; at most the cap of them after each event.

    >>> history = RunningHistory(FoldingSettings(history_cap=2))
    >>> for item in (7, 8, 9):
    ...     history.add(LogPosition(0, item), item=item, weight=1, ts_ms=item, value=math.nan)
    >>> sorted(history.entries), str(history.offset)
    ([8, 9], '[0,9]')
    """

    def __init__(self, rules: FoldingSettings) -> None:
        """Start without items."""
        self.entries: dict[int, Entry] = {}
        self.rejected: dict[int, Entry] = {}
        """other items, which do not count; as many as the cap"""
        self.offset = LogPosition(0, 0)
        """of the last event folded in"""
        self._erased_before_ms = NEVER_MS
        self._cap = rules.history_cap
        self._affinity = affinity_of(rules.affinity, rules.half_life_days)
        self._least = rules.typical_value / FURTHEST_VALUE
        self._most = rules.typical_value * FURTHEST_VALUE
        self._by_age: list[tuple[int, int]] = []
        """a heap of (ts_ms, item) of all items, and some that are out of date; or nothing"""

    @property
    def last_ts_ms(self) -> int:
        """The last event time, -1 if there are no items."""
        items = (*self.entries.values(), *self.rejected.values())
        return max((entry.ts_ms for entry in items), default=-1)

    def add(self, offset: LogPosition, item: int, weight: float, ts_ms: int, value: float) -> None:
        """Fold an event in, but for one that is from before the user's erasure.

        Args:
            offset: of its record.
            item: what the user touched.
            weight: of the event's type.
            ts_ms: event time, epoch ms.
            value: of the transaction, NaN if it has none.
        """
        if ts_ms < self._erased_before_ms:
            return
        self.offset = offset
        if weight <= 0:
            self._reject(item, self._affinity(0.0, weight, ts_ms), ts_ms)
            return
        before = self.entries.get(item)
        affinity = self._affinity(before.affinity if before else 0.0, weight, ts_ms)
        if before is None:
            if not self._make_room(item, ts_ms):
                return
            before = self.rejected.pop(item, Entry(0.0, ts_ms, ts_ms))
        total, n_values = before.total, before.n_values
        if not math.isnan(value):
            total, n_values = total + min(max(value, self._least), self._most), n_values + 1
        last_ts_ms = max(before.ts_ms, ts_ms)
        first_ms = min(before.first_ms, ts_ms)
        self.entries[item] = Entry(affinity, last_ts_ms, first_ms, total, n_values)
        if self._by_age:
            heapq.heappush(self._by_age, (last_ts_ms, item))
            if len(self._by_age) > _ROOM_FOR_STALE * self._cap:
                self._by_age.clear()

    def erase(self, offset: LogPosition, last_event_before_ms: int, erased_at_ms: int) -> None:
        """Take all items out, if the last event was before `last_event_before_ms`."""
        last_ts_ms = self.last_ts_ms
        if last_ts_ms < last_event_before_ms:
            bound_ms = None if last_event_before_ms == UNCONDITIONAL_MS else last_event_before_ms
            before_ms = Tombstone("", bound_ms, erased_at_ms).leaves_out_before_ms(last_ts_ms)
            self._erased_before_ms = max(self._erased_before_ms, before_ms)
            self.offset = offset
            self.entries.clear()
            self.rejected.clear()
            self._by_age.clear()

    def _reject(self, item: int, affinity: float, ts_ms: int) -> None:
        """Move an item to the rejected ones, of which the least recent may leave."""
        before = self.entries.pop(item, None) or self.rejected.get(item)
        before = before or Entry(0.0, ts_ms, ts_ms)
        times = max(before.ts_ms, ts_ms), min(before.first_ms, ts_ms)
        self.rejected[item] = Entry(affinity, *times)
        if len(self.rejected) > self._cap:
            del self.rejected[min(self.rejected, key=lambda it: (self.rejected[it].ts_ms, it))]

    def _make_room(self, item: int, ts_ms: int) -> bool:
        """Return whether a new item has a place, which the one not touched for longest may leave.

        Of several of one time, the least id leaves.
        """
        if len(self.entries) < self._cap:
            return True
        if not self._by_age:
            self._by_age = [(entry.ts_ms, its) for its, entry in self.entries.items()]
            heapq.heapify(self._by_age)
        while not self._is_current(*self._by_age[0]):
            heapq.heappop(self._by_age)
        if (ts_ms, item) < self._by_age[0]:
            return False
        _, oldest = heapq.heappop(self._by_age)
        del self.entries[oldest]
        return True

    def _is_current(self, ts_ms: int, item: int) -> bool:
        entry = self.entries.get(item)
        return entry is not None and entry.ts_ms == ts_ms
