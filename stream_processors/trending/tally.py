"""Computes which counts events increment, and by how much: pure.

A page of a bucket has a number, its row; a count the key `row << 32 | number of the item`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from contracts.messages import Ints
from contracts.times import DAY_S
from contracts.trending import BUCKETS_S, PAGES, Bucket
from stream_processors.ids import starts_of_runs

_OFF_AT_MOST_S: Final = DAY_S
"""How far this worker's clock may be ahead of the store's without dropping an event that counts.
Buckets that expired more recently are written, and the store expires them at once."""
_LENGTHS_S: Final = tuple(BUCKETS_S)
_ROW_BITS: Final = 28
"""Of a bucket's index among those of its length, times pages: until the year 2699."""
_ITEM_BITS: Final = 32
_MASK: Final = (1 << _ITEM_BITS) - 1


class Events(NamedTuple):
    """n events of one partition, in log order."""

    item: Ints
    ts_ms: Ints
    mark: Ints
    """of the record"""

    def __len__(self) -> int:
        return len(self.item)

    @classmethod
    def joined(cls, parts: "list[Events]") -> "Events":
        """Return the events of one or more parts."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of events, each once in a bucket of each length: k counts in m rows."""

    keys: Ints
    """(k,) ascending"""
    rows: list[int]
    """(m,) ascending"""
    ends: list[int]
    """(m,) where the keys of each row end"""
    marks: Ints
    """(l,) of the events, by count"""
    firsts: Ints
    """(k,) the index of each count's first event"""

    @property
    def numbers(self) -> Ints:
        """The number of each count's item, (k,)."""
        return self.keys & _MASK

    def slices(self) -> Iterator[tuple[int, int, int]]:
        """Yield each row, and where its keys begin and end."""
        return zip(self.rows, [0, *self.ends], self.ends, strict=False)

    def added(self, row_marks: Ints) -> Ints:
        """Return the increment of each count, (k,), if there are any.

        Args:
            row_marks: (m,) of the last counted event in each row: only later ones count.
        """
        of_count = np.repeat(row_marks, np.diff(self.ends, prepend=0))
        of_event = np.repeat(of_count, np.diff(self.firsts, append=len(self.marks)))
        raised: Ints = np.add.reduceat((self.marks > of_event).astype(np.int64), self.firsts)
        return raised


def tally_of(events: Events, numbers: Ints, now_s: float) -> Tally:
    """Return the counts of events, without buckets that have long expired.

    Args:
        events: n of them.
        numbers: (n,) of their items, of 31 bits.
        now_s: the wall clock's time.
    """
    page = events.item % PAGES
    keys: list[Ints] = []
    marks: list[Ints] = []
    for place, (length_s, window_s) in enumerate(BUCKETS_S.items()):
        bucket = events.ts_ms // (1000 * length_s)
        counts = bucket >= (now_s - _OFF_AT_MOST_S - window_s) // length_s - 1
        row = (place << _ROW_BITS) + bucket * PAGES + page
        keys.append((row << _ITEM_BITS | numbers)[counts])
        marks.append(events.mark[counts])
    every = np.concatenate(keys)
    order = np.argsort(every)
    firsts = starts_of_runs(every[order])
    distinct = every[order][firsts]
    row = distinct >> _ITEM_BITS
    starts = starts_of_runs(row)
    return Tally(
        keys=distinct,
        rows=row[starts].tolist(),
        ends=np.append(starts, len(row))[1:].tolist(),
        marks=np.concatenate(marks)[order],
        firsts=firsts,
    )


def bucket_and_page(row: int) -> tuple[Bucket, int]:
    """Return the bucket that a row is a page of, and the page number."""
    length_s = _LENGTHS_S[row >> _ROW_BITS]
    place, page = divmod(row & (1 << _ROW_BITS) - 1, PAGES)
    return Bucket(length_s, place * length_s), page
