"""Decides when too many bad records stop a partition.

Modeled on Arroyo's `DlqLimit`: a single bad record belongs in the dead letters, but a producer that
writes nothing else fills them for no benefit, and should be noticed.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

WINDOW: Final = 1_000
"""Records over which the share of bad ones is computed."""


class TooManyBadRecordsError(RuntimeError):
    """More of a partition's latest records are invalid than the setting allows."""

    def __init__(self, bad: int, share_max: float, before: int) -> None:
        super().__init__(
            f"{bad} of the latest {WINDOW} records are invalid, more than "
            f"DEAD_LETTER_RATIO_MAX={share_max:g} allows: see the topic's dead letters, which "
            "contain them, fix the producer, and restart the worker; nothing is lost"
        )
        self.before = before
        """how many of the given bad records were within the limit"""


class BadRecords:
    """The bad ones among a partition's latest records."""

    def __init__(self, share_max: float) -> None:
        self._share_max = share_max
        self._seen = 0
        self._bad: deque[int] = deque()
        """numbers of the bad ones among the latest `WINDOW` records"""

    def add(self, records: int, bad: Sequence[int]) -> None:
        """Count records in.

        Args:
            records: how many.
            bad: the indices of bad ones among them, ascending.

        Raises:
            TooManyBadRecordsError: at one of the bad ones, their share of the window exceeds the
                setting.
        """
        for nth, place in enumerate(bad):
            number = self._seen + place
            self._bad.append(number)
            while self._bad[0] <= number - WINDOW:
                self._bad.popleft()
            if len(self._bad) > self._share_max * WINDOW:
                raise TooManyBadRecordsError(len(self._bad), self._share_max, nth)
        self._seen += records
