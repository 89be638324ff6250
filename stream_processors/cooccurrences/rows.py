"""The rows of G of one partition in memory: a cache of what Redis holds of them."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import numpy as np

from contracts.messages import Floats
from stream_processors.marks import NOTHING


@dataclass(slots=True)
class Row:
    """One item's counts, as far as they were needed."""

    mark: int
    """of the last message in it"""
    is_whole: bool
    """whether it was new when it was first touched: what is not here is 0"""
    counts: dict[int, float] = field(default_factory=dict)

    def unknown(self, items: Iterable[int]) -> list[int]:
        """Return those items whose counts have to be learned before `add`."""
        return [] if self.is_whole else [j for j in items if j not in self.counts]

    def learn(self, items: Sequence[int], stored: Sequence[str | None]) -> None:
        """Take in counts as Redis holds them."""
        for j, value in zip(items, stored, strict=True):
            count = float(value or 0)
            self.counts[j] = int(count) if count.is_integer() else count

    def add(self, items: Sequence[int], delta: Floats) -> Iterator[str]:
        """Add to counts; return items and sums in turn, as Redis holds them."""
        so_far = self.counts.get
        sums = [so_far(j, 0) + d for j, d in zip(items, _numbers(delta), strict=True)]
        self.counts.update(zip(items, sums, strict=True))
        texts = zip(map(_text_of.__getitem__, items), map(str, sums), strict=True)
        return chain.from_iterable(texts)


class _Texts(dict[int, str]):
    """Numbers as people write them: looked up in half of the time that it takes to write one."""

    def __missing__(self, number: int) -> str:
        text = self[number] = str(number)
        return text


_text_of: Final = _Texts()


class Rows:
    """The rows that were touched last, by item."""

    def __init__(self, counts_at_most: int) -> None:
        self._counts_at_most = counts_at_most
        self._rows: OrderedDict[int, Row] = OrderedDict()

    def __contains__(self, item: int) -> bool:
        return item in self._rows

    def __getitem__(self, item: int) -> Row:
        return self._rows[item]

    def put(self, item: int, mark: int) -> None:
        """Add a row: what Redis holds of an item ends with a message's mark, or is `NOTHING`."""
        self._rows[item] = Row(mark, is_whole=mark == NOTHING)

    def touch(self, items: Iterable[int]) -> None:
        """Forget the counts of other rows, touched longest ago, when there are too many."""
        for item in items:
            self._rows.move_to_end(item)
        counts = sum(len(row.counts) for row in self._rows.values())
        while counts > self._counts_at_most:
            counts -= len(self._rows.popitem(last=False)[1].counts)


def _numbers(values: Floats) -> list[float]:
    """Return whole numbers as ints, which people read as 3 and not 3.0."""
    whole = np.rint(values)
    numbers: list[float] = (
        whole.astype(np.int64) if np.array_equal(whole, values) else values
    ).tolist()
    return numbers
