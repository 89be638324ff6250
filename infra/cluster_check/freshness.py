"""The age of records when they become readable: from arrival in the log to Redis's position."""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

Partition = tuple[str, int]
"""topic, number"""


class Readable(NamedTuple):
    """Records of a partition that became readable since the last poll."""

    at_s: float
    age_s: float
    """of the oldest one, since the poll that first saw it in the log"""
    records: int


class Freshness:
    """Tracks log ends and workers' positions, by one clock in seconds."""

    def __init__(self) -> None:
        self._ends: dict[Partition, deque[tuple[int, float]]] = {}
        """end of the log, and when it was seen there: both ascending"""
        self._positions: dict[Partition, int] = {}
        self._readable: deque[Readable] = deque()

    def note_ends(self, at_s: float, ends: Mapping[Partition, int]) -> None:
        """Record where the logs end."""
        for partition, end in ends.items():
            seen = self._ends.setdefault(partition, deque())
            if not seen or end > seen[-1][0]:
                seen.append((end, at_s))

    def note_positions(self, at_s: float, positions: Mapping[Partition, int]) -> None:
        """Record the next offset to fold of each partition."""
        for partition, position in positions.items():
            before = self._positions.setdefault(partition, position)
            if position > before:
                age_s = at_s - self._arrived_s(partition, before, at_s)
                self._readable.append(Readable(at_s, age_s, position - before))
                self._positions[partition] = position
                self._forget(partition, position)

    def quantile(self, q: float, since_s: float) -> float | None:
        """Return the q-quantile of the ages of records since a time.

        Records seen together all count as the oldest of them. None if there were no records.
        """
        lately = sorted((one.age_s, one.records) for one in self._readable if one.at_s >= since_s)
        needed = q * sum(records for _, records in lately)
        for age_s, records in lately:
            needed -= records
            if needed <= 0:
                return age_s
        return None

    def waiting_s(self, at_s: float) -> float:
        """Return how long the longest-waiting record has waited, 0 if none waits."""
        waits = [
            at_s - self._arrived_s(partition, position, at_s)
            for partition, position in self._positions.items()
        ]
        return max(waits, default=0.0)

    def _arrived_s(self, partition: Partition, offset: int, otherwise_s: float) -> float:
        """Return when the record at an offset was first seen in the log."""
        seen = self._ends.get(partition, deque())
        place = bisect_right(seen, offset, key=lambda each: each[0])
        return seen[place][1] if place < len(seen) else otherwise_s

    def _forget(self, partition: Partition, position: int) -> None:
        """Drop what no waiting record needs."""
        seen = self._ends.get(partition, deque())
        while len(seen) > 1 and seen[0][0] <= position:
            seen.popleft()
