"""Sums weighted rows: the places with the largest sums, and what contributed to each. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from api.recommendations.places import Placed
from contracts.fold_in import SCORE_DECIMALS
from contracts.messages import Floats, Ints

_UNIT: Final = 10.0**-SCORE_DECIMALS
_ALL_ARE_FASTER: Final = 4
"""Scanning all places takes as long as processing a fourth as many entries."""
_WIDENED: Final = 4
"""The factor by which more of the best are examined if too few of them may be shown."""

Shown = Callable[[int], bool]
"""Whether an item may be shown."""


class Row(NamedTuple):
    """The neighbors of an item, highest score first; scores may be negative."""

    places: Placed
    """(k,)"""
    scores: Floats
    """(k,)"""


class Scratch:
    """Arrays indexed by place, to sum into: small, so that they stay in the CPU caches."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sums: Floats = np.zeros(room)
        """All zero between uses."""
        self.chosen: npt.NDArray[np.bool_] = np.zeros(room, np.bool_)
        """All false between uses."""
        self.marks: npt.NDArray[np.int32] = np.zeros(room, np.int32)
        """Arbitrary between uses."""


class Scored(NamedTuple):
    """An item whose score is above 0."""

    score: float
    item: int
    place: int


@dataclass(frozen=True, slots=True)
class Shares:
    """The contribution of each entry of some rows to the sum of its place."""

    places: Ints
    """(e,)"""
    shares: Floats
    """(e,): weight of the row times score"""
    ends: Ints
    """(m,): where each row's entries end"""

    @classmethod
    def of(cls, rows: Sequence[Row], weights: Floats) -> "Shares":
        """Return the shares of one or more rows with their weights, (m,)."""
        lengths = np.array([len(row.places) for row in rows])
        return cls(
            # Numpy indexes faster with integers of its native size.
            places=np.concatenate([row.places for row in rows], dtype=np.int64),
            shares=np.concatenate([row.scores for row in rows]) * np.repeat(weights, lengths),
            ends=np.cumsum(lengths),
        )

    def best(
        self,
        total: float,
        left_out: Sequence[int],
        item_at: Sequence[int],
        n: int,
        scratch: Scratch,
        shown: Shown | None = None,
    ) -> list[Scored]:
        """Return the items with the `n` largest sums, as shares of `total`, above 0, largest first.

        Ties are broken by the smaller item.

        Args:
            total: of all weights.
            left_out: places to exclude.
            item_at: the item at each place.
            n: how many at most.
            scratch: has room for every place.
            shown: filter of the items that may be shown; None: all.
        """
        np.add.at(scratch.sums, self.places, self.shares)
        scratch.sums[left_out] = 0
        touched = self._distinct(scratch)
        sums = scratch.sums[touched]
        scratch.sums[touched] = 0
        sought = n
        while True:
            ranked = _ranked(touched, sums, total, item_at, sought)
            if shown is None:
                return ranked
            kept = [one for one in ranked if shown(one.item)]
            if len(kept) >= n or len(ranked) < sought:
                return kept[:n]
            sought *= _WIDENED  # filtering all touched items would take longer than all the rest

    def reasons(
        self, places: Sequence[int], row_items: Sequence[int], most: int, scratch: Scratch
    ) -> list[list[int]]:
        """Return, for each of some places, the rows with the largest positive shares in its sum.

        Args:
            places: (k,), all different.
            row_items: the item of each row.
            most: the maximum number of rows per place.
            scratch: has room for every place.
        """
        scratch.chosen[places] = True
        entries = np.flatnonzero(scratch.chosen[self.places])
        scratch.chosen[places] = False
        rows = np.searchsorted(self.ends, entries, side="right").tolist()
        of: dict[int, list[tuple[float, int]]] = {place: [] for place in places}
        columns = (self.places[entries].tolist(), self.shares[entries].tolist(), rows)
        for place, share, row in zip(*columns, strict=True):
            if share > 0:
                of[place].append((-share, row_items[row]))
        return [[item for _, item in sorted(speaking)[:most]] for speaking in of.values()]

    def _distinct(self, scratch: Scratch) -> Ints:
        """Return each place with a nonzero sum once, and possibly some others."""
        if _ALL_ARE_FASTER * len(self.places) > scratch.room:
            return np.flatnonzero(scratch.sums)
        # Of the entries of one place, only the last one keeps its mark.
        order = np.arange(len(self.places), dtype=np.int32)
        scratch.marks[self.places] = order
        distinct: Ints = self.places[scratch.marks[self.places] == order]
        return distinct


def _ranked(
    places: Ints, sums: Floats, total: float, item_at: Sequence[int], n: int
) -> list[Scored]:
    """Return the `n` places with the largest sums, (k,) each, as `Shares.best` says."""
    # Values that are equal after rounding may differ by a unit before.
    kept = np.flatnonzero(sums >= _nth_largest(sums, n) - total * _UNIT)
    scores = np.round(sums[kept] / total, SCORE_DECIMALS).tolist()
    ranked = sorted(
        (-score, item_at[place], place)
        for score, place in zip(scores, places[kept].tolist(), strict=True)
        if score > 0
    )
    return [Scored(-negated, item, place) for negated, item, place in ranked[:n]]


def _nth_largest(values: Floats, n: int) -> float:
    """Return the `n`-th largest value; one below all of them if there are fewer."""
    if len(values) <= n:
        return -np.inf
    nth: float = np.partition(values, len(values) - n)[len(values) - n]
    return nth
