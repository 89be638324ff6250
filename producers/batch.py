"""What every source gives to the feed: records in publishing order."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.messages import Ints
from contracts.times import MINUTE_MS

Headers = list[tuple[str, str | bytes | None]]
Record = tuple[str, bytes, bytes] | tuple[str, bytes, None, Headers]
"""topic, key, value: a plain tuple, as some 300,000 are created per second; a record without a
value has headers instead"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in publishing order, with their event times."""

    ts_ms: Ints
    """(n,) event times, epoch ms; not necessarily ascending"""
    records: Sequence[Record]
    """n of them"""


class Minutes:
    """How many of a replay's records there are of each minute."""

    def __init__(self) -> None:
        self._counts = Counter[int]()

    def counting(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Count batches while they are taken."""
        for batch in batches:
            minutes, counts = np.unique(batch.ts_ms // MINUTE_MS, return_counts=True)
            self._counts.update(dict(zip(minutes.tolist(), counts.tolist(), strict=True)))
            yield batch

    def older(self, retention_minutes: int) -> int:
        """Return how many are older than what is retained before the newest."""
        newest = max(self._counts, default=0)
        return sum(
            count for minute, count in self._counts.items() if minute <= newest - retention_minutes
        )
