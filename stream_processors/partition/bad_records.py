"""When to stop a partition: a feed of which too much is bad is not a feed with some bad records.

Arroyo's `DlqLimit` is the model: each bad record by itself belongs to the dead letters, but a
producer that writes nothing else fills them for nothing, and should be noticed.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

WINDOW: Final = 1_000
"""Records of which the share of bad ones is looked at."""


class TooManyBadRecordsError(RuntimeError):
    """More of a partition's latest records break a rule than the setting allows."""

    def __init__(self, bad: int, share_max: float, before: int) -> None:
        super().__init__(
            f"{bad} of the latest {WINDOW} records break a rule, more than "
            f"DEAD_LETTER_RATIO_MAX={share_max:g} allows: look at the topic's dead letters, which "
            "have those, fix the producer, and start the worker again; nothing is lost"
        )
        self.before = before
        """how many of the bad records that were given were within the limit"""


class BadRecords:
    """The bad ones among a partition's latest records."""

    def __init__(self, share_max: float) -> None:
        self._share_max = share_max
        self._seen = 0
        self._bad: deque[int] = deque()
        """numbers of the bad ones among the latest `WINDOW` records that were seen"""

    def add(self, records: int, bad: Sequence[int]) -> None:
        """Count records in.

        Args:
            records: how many.
            bad: the places of bad ones among them, rising.

        Raises:
            TooManyBadRecordsError: at one of the bad ones, the share of them in the window is above
                the setting's.
        """
        for nth, place in enumerate(bad):
            number = self._seen + place
            self._bad.append(number)
            while self._bad[0] <= number - WINDOW:
                self._bad.popleft()
            if len(self._bad) > self._share_max * WINDOW:
                raise TooManyBadRecordsError(len(self._bad), self._share_max, nth)
        self._seen += records
