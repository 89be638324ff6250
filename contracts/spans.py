"""Values as places in one string of bytes, as a fetch from Kafka brings them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.decoding import Ints

ABSENT: Final = -1
"""The length of a value that a record does not have."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Values of n records, without an object for each."""

    data: bytes
    start: Ints
    """(n,) where each value starts in `data`"""
    length: Ints
    """(n,) of each value, `ABSENT` if there is none; the values are within `data`"""

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> "Spans":
        """Return the spans of values, in a copy of them."""
        present = [b"" if value is None else value for value in values]
        length = np.fromiter(map(len, present), np.int64, len(present))
        start = np.cumsum(length) - length
        if None in values:
            length[[value is None for value in values]] = ABSENT
        return cls(b"".join(present), start, length)

    def __len__(self) -> int:
        return len(self.start)

    def value(self, place: int) -> bytes | None:
        """Return one of the values."""
        start, length = int(self.start[place]), int(self.length[place])
        return None if length == ABSENT else self.data[start : start + length]

    def listed(self) -> list[bytes | None]:
        """Return the values."""
        data, starts = self.data, self.start.tolist()
        found: list[bytes | None] = [
            data[start:end]
            for start, end in zip(starts, (self.start + self.length).tolist(), strict=True)
        ]
        for place in np.flatnonzero(self.length == ABSENT).tolist():
            found[place] = None
        return found

    def take(self, places: Ints) -> "Spans":
        """Return some of the values, by index."""
        return Spans(self.data, self.start[places], self.length[places])
