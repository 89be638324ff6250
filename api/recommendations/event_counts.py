"""Ranks the items with the most events in a window, by the counts of its buckets. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

import numpy as np

from api.recommendations.answers import TrendingItem
from contracts.keyspace import OFFSET_FIELD
from contracts.messages import Ints
from contracts.trending import TrendingWindow

RANKED: Final = 5_000
"""So many items of a window can be filtered in a millisecond."""
_OFFSET: Final = OFFSET_FIELD.encode()


class Counts(NamedTuple):
    """Events of items, which may appear repeatedly."""

    items: Ints
    """(m,)"""
    events: Ints
    """(m,) all above 0"""


NONE: Final = Counts(np.empty(0, np.int64), np.empty(0, np.int64))
"""No events."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A counted window and its first items."""

    start_ms: int | None = None
    as_of_ms: int | None = None
    items: Sequence[TrendingItem] = ()


Rankings = Mapping[TrendingWindow, Ranked]


def counts_of(pages: Iterable[Sequence[bytes]]) -> Counts:
    """Parse pages, each given as alternating fields and values.

    >>> [column.tolist() for column in counts_of([[b"4", b"17", b"off", b"[0,9]"], [b"7", b"1"]])]
    [[4, 7], [17, 1]]
    """
    flat: list[int] = []
    for page in pages:
        counts = dict(zip(page[::2], page[1::2], strict=True))
        counts.pop(_OFFSET, None)
        flat += map(int, chain.from_iterable(counts.items()))
    columns = np.array(flat, np.int64)
    return Counts(columns[::2], columns[1::2])


def latest(steps: Sequence[Counts]) -> Counts:
    """Return the counts of one or more steps: for a repeated item, the later one.

    >>> steps = [Counts(np.array([4, 7]), np.array([1, 2])), Counts(np.array([4]), np.array([3]))]
    >>> [column.tolist() for column in latest(steps)]
    [[4, 7], [3, 2]]
    """
    items = np.concatenate([step.items for step in reversed(steps)])
    events = np.concatenate([step.events for step in reversed(steps)])
    distinct, firsts = np.unique(items, return_index=True)
    return Counts(distinct, events[firsts])


def summed(parts: Sequence[Counts]) -> Counts:
    """Return the sum of one or more counts: each item once, ascending."""
    items = np.concatenate([part.items for part in parts])
    events = np.concatenate([part.events for part in parts])
    order = np.argsort(items, kind="stable")
    distinct, firsts = np.unique(items[order], return_index=True)
    if not len(distinct):
        return Counts(distinct, distinct)
    return Counts(distinct, np.add.reduceat(events[order], firsts))


def ranked(buckets: Sequence[Counts]) -> list[TrendingItem]:
    """Return the items with the most events in one or more buckets together."""
    whole = summed(buckets)
    order = np.argsort(-whole.events, kind="stable")[:RANKED]
    columns = whole.items[order].tolist(), whole.events[order].tolist()
    return [TrendingItem(*row) for row in zip(*columns, strict=True)]
