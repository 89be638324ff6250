"""Sums weighted rows: the items with the largest sums, and what contributed to each. Pure.

Items are summed by place: an index into arrays, in the order of first use.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from api.instruments.visibility import Boosts, Shown
from api.recommendations.answers import Recommended
from contracts.bars import Column
from contracts.fold_in import SCORE_DECIMALS
from contracts.messages import Floats, Ints

Placed = npt.NDArray[np.int32]

_TABLE_MOST: Final = 1 << 22
"""Items below this are looked up in a table of up to 16 MB, all others in a dict, which for a list
of 200 takes three times as long as all the rest of reading it."""
_UNKNOWN: Final = -1


class Places:
    """The places of the items seen so far."""

    def __init__(self) -> None:
        self._place_of: dict[int, int] = {}
        self._item_at: Ints = np.empty(1024, np.int64)
        """By place; the rest is room."""
        self._table: Placed = np.full(1024, _UNKNOWN, np.int32)
        """Indexed by item, up to its length."""

    @property
    def item_at(self) -> Ints:
        """The item at each place, (places,)."""
        return self._item_at[: len(self._place_of)]

    def of_all(self, items: Sequence[int]) -> Placed:
        """Return the place of each item, (n,); new items get the next ones."""
        ids = np.fromiter(items, np.int64, len(items))
        if ids.max(initial=0) < len(self._table):
            placed = self._table[ids]
            if placed.min(initial=0) != _UNKNOWN:
                return placed
        return np.array([self._placed(item) for item in items], np.int32)

    def of_known(self, items: Iterable[int]) -> list[int]:
        """Return the places of those of `items` that have one."""
        place_of = self._place_of.get
        return [place for item in items if (place := place_of(item)) is not None]

    def _placed(self, item: int) -> int:
        place = self._place_of.get(item)
        if place is None:
            place = self._place_of[item] = len(self._place_of)
            if place == len(self._item_at):
                self._item_at = np.append(self._item_at, np.empty_like(self._item_at))
            self._item_at[place] = item
            if item < _TABLE_MOST:
                self._enter(item, place)
        return place

    def _enter(self, item: int, place: int) -> None:
        if item >= len(self._table):
            larger = np.full(min(2 * item, _TABLE_MOST), _UNKNOWN, np.int32)
            larger[: len(self._table)] = self._table
            self._table = larger
        self._table[item] = place


REASONS: Final = 3
"""How many of the rows that contributed to an item's sum are listed."""

_UNIT: Final = 10.0**-SCORE_DECIMALS
_ROUNDED_TO_0: Final = _UNIT / 4
"""A share of at most this is no score above 0."""

ENTRY: Final = np.dtype([("place", np.int64), ("score", np.float64)])
Row = bytes
"""`ENTRY`s of an item's neighbors, highest scores first; some may be negative.

As bytes, which are joined in half the time of arrays."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The contribution of each entry of some rows to the sum of its place."""

    places: Ints
    """(e,) all of them"""
    shares: Floats
    """(e,): weight of the row times score"""
    starts: Ints
    """(m,): where each row's entries start"""
    ends: Ints
    """(m,): where each row's entries end"""

    @classmethod
    def of(cls, rows: Sequence[Row], weights: Floats) -> "Shares":
        """Return the shares of one or more rows with their weights, (m,)."""
        entries = np.frombuffer(b"".join(rows), ENTRY)
        lengths = np.array([*map(len, rows)]) // ENTRY.itemsize
        shares = entries["score"] * weights.repeat(lengths)
        ends = lengths.cumsum()
        return cls(entries["place"], shares, ends - lengths, ends)

    def best(
        self,
        total: float,
        left_out: Sequence[int],
        item_at: Ints,
        row_items: Sequence[int],
        n: int,
        sums: Floats,
        shown: Shown | None = None,
        boosts: Boosts | None = None,
    ) -> list[Recommended]:
        """Return the items with the `n` largest sums, as shares of `total`, above 0, largest first.

        Ties are broken by the smaller item. Each item's reasons are the rows with the largest
        positive shares in its sum.

        Args:
            total: of all weights.
            left_out: places to exclude.
            item_at: the item at each place, (places,).
            row_items: the item of each row.
            n: how many at most.
            sums: zeros to sum into, one for each place or more; they are zeros again at the end.
            shown: filter of the items that may be shown; None: all.
            boosts: what the sum of each item is multiplied by.
        """
        np.add.at(sums, self.places, self.shares)
        sums[left_out] = 0
        if boosts is not None:
            # Of a place with several entries, each assigns the same product.
            sums[self.places] *= boosts.of(item_at[self.places])
        if shown is not None:
            sums[self.places[~shown.of(item_at[self.places])]] = 0
        of_entries = sums[self.places]
        least = self._least(of_entries, sums, n)
        sums[self.places] = 0
        # Values that are equal after rounding may differ by a unit before.
        reached = max(least - total * _UNIT, total * _ROUNDED_TO_0)
        entries = (of_entries >= reached).nonzero()[0]
        rows = self.ends.searchsorted(entries, side="right")
        scores = (of_entries[entries] / total).round(SCORE_DECIMALS)
        columns = (item_at[self.places[entries]], scores, self.shares[entries], rows)
        return _ranked(columns, row_items, n)

    def at(self, places: Ints, total: float, sums: Floats) -> Floats:
        """Return the sums of some places as shares of `total`, (k,); `sums` are as for `best`."""
        np.add.at(sums, self.places, self.shares)
        found: Floats = sums[places] / total
        sums[self.places] = 0
        return found

    def _least(self, of_entries: Floats, sums: Floats, n: int) -> float:
        """Return a sum that the `n` best places reach, and hardly any others; at least 0.

        Rows begin with their highest scores, so these places mostly have the largest sums. To
        find the n-th largest sum of all takes longer than all the rest.
        """
        heads = self.starts[:, np.newaxis] + np.arange(n)
        # After a short row come entries of others, which do no harm.
        ordered = of_entries.take(heads.ravel(), mode="clip")
        ordered.sort()
        # Equal sums count once, as they may be of one place.
        steps = (ordered[1:] != ordered[:-1]).nonzero()[0]
        if len(steps) >= n and ordered[steps[-n]] > 0:
            return float(ordered[steps[-n]])
        above_0 = sums[sums > 0]
        if len(above_0) <= n:
            return 0
        return float(np.partition(above_0, len(above_0) - n)[len(above_0) - n])


def _ranked(columns: Sequence[Column], row_items: Sequence[int], n: int) -> list[Recommended]:
    """Return the first `n` items of some entries, given all entries of each.

    Args:
        columns: item, its score, the entry's share and its row, (k,) each.
        row_items: the item of each row.
        n: how many at most.
    """
    items, scores, shares, rows = columns
    reasons = [row_items[row] for row in rows.tolist()]
    entries = zip((-scores).tolist(), items.tolist(), (-shares).tolist(), reasons, strict=True)
    ranked: list[Recommended] = []
    because: list[int] = []
    last: int | None = None
    for negated, item, negated_share, reason in sorted(entries):
        if item != last:
            if negated >= 0 or len(ranked) == n:
                break
            last, because = item, []
            ranked.append(Recommended(item, -negated, because))
        if negated_share < 0 and len(because) < REASONS:
            because.append(reason)
    return ranked
