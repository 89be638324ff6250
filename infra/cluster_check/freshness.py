"""How old records are when they can be read: from their arrival in the log to Redis's position."""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

Partition = tuple[str, int]
"""topic, number"""


class Readable(NamedTuple):
    """Records of a partition that could be read since the last look."""

    at_s: float
    age_s: float
    """of the oldest of them, from the look that saw it in the log"""
    records: int


class Freshness:
    """Follows the ends of logs and the positions of workers, of one clock in seconds."""

    def __init__(self) -> None:
        self._ends: dict[Partition, deque[tuple[int, float]]] = {}
        """end of the log, and when it was seen there: both rise"""
        self._positions: dict[Partition, int] = {}
        self._readable: deque[Readable] = deque()

    def note_ends(self, at_s: float, ends: Mapping[Partition, int]) -> None:
        """Take where the logs end."""
        for partition, end in ends.items():
            seen = self._ends.setdefault(partition, deque())
            if not seen or end > seen[-1][0]:
                seen.append((end, at_s))

    def note_positions(self, at_s: float, positions: Mapping[Partition, int]) -> None:
        """Take the next offset of each partition that workers have yet to fold."""
        for partition, position in positions.items():
            before = self._positions.setdefault(partition, position)
            if position > before:
                age_s = at_s - self._arrived_s(partition, before, at_s)
                self._readable.append(Readable(at_s, age_s, position - before))
                self._positions[partition] = position
                self._forget(partition, position)

    def quantile(self, q: float, since_s: float) -> float | None:
        """Return the age that a share of q of the records did not exceed, of those since a time.

        Of records that were seen together, each counts as the oldest. None if there were none.
        """
        lately = sorted((one.age_s, one.records) for one in self._readable if one.at_s >= since_s)
        needed = q * sum(records for _, records in lately)
        for age_s, records in lately:
            needed -= records
            if needed <= 0:
                return age_s
        return None

    def waiting_s(self, at_s: float) -> float:
        """Return for how long the record has waited that has waited longest, 0 if none waits."""
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
        """Drop what no record that still waits needs."""
        seen = self._ends.get(partition, deque())
        while len(seen) > 1 and seen[0][0] <= position:
            seen.popleft()
