"""When to stop a partition: a feed of which too much is bad is not a feed with some bad records.

Arroyo's `DlqLimit` is the model: each bad record by itself belongs to the dead letters, but a
producer that writes nothing else fills them for nothing, and should be noticed.
"""

from collections import deque
from typing import Final

WINDOW: Final = 1_000
"""Records of which the share of bad ones is looked at."""


class TooManyBadRecordsError(RuntimeError):
    """More of a partition's latest records break a rule than the setting allows."""


class BadRecords:
    """The share of bad records among a partition's latest ones."""

    def __init__(self, share_max: float) -> None:
        self._share_max = share_max
        self._batches: deque[tuple[int, int]] = deque()
        self._records = self._bad = 0

    def add(self, records: int, bad: int) -> None:
        """Count a batch in.

        Raises:
            TooManyBadRecordsError: the share of bad ones is above the setting's.
        """
        self._batches.append((records, bad))
        self._records += records
        self._bad += bad
        while self._batches and self._records - self._batches[0][0] >= WINDOW:
            oldest_records, oldest_bad = self._batches.popleft()
            self._records -= oldest_records
            self._bad -= oldest_bad
        if self._records >= WINDOW and self._bad > self._share_max * self._records:
            raise TooManyBadRecordsError(
                f"{self._bad} of the latest {self._records} records break a rule, more than "
                f"DEAD_LETTER_RATIO_MAX={self._share_max:g} allows: look at the topic's dead "
                "letters, mend the producer, and start the worker again; nothing of it is lost"
            )
