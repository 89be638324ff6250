"""Adding up weighted rows: the places with the largest sums, and what speaks for each. Pure."""

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
"""Looking at all places takes as long as at a fourth as many entries."""
_WIDENED: Final = 4
"""How many times as many of the best are looked at, when too few of them may be shown."""

Shown = Callable[[int], bool]
"""Whether an item may be shown."""


class Row(NamedTuple):
    """The neighbors of an item, highest score first; scores may be below zero."""

    places: Placed
    """(k,)"""
    scores: Floats
    """(k,)"""


class Scratch:
    """Arrays by place, to add up in: small ones, so that they stay in the processor's caches."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sums: Floats = np.zeros(room)
        """All zero between uses."""
        self.chosen: npt.NDArray[np.bool_] = np.zeros(room, np.bool_)
        """All false between uses."""
        self.marks: npt.NDArray[np.int32] = np.zeros(room, np.int32)
        """Anything between uses."""


class Scored(NamedTuple):
    """An item whose score is above 0."""

    score: float
    item: int
    place: int


@dataclass(frozen=True, slots=True)
class Shares:
    """What each entry of some rows adds to the sum of its place."""

    places: Ints
    """(e,)"""
    shares: Floats
    """(e,): weight of the row times score"""
    ends: Ints
    """(m,): where each row's entries end"""

    @classmethod
    def of(cls, rows: Sequence[Row], weights: Floats) -> "Shares":
        """Return those of rows, one or more, with a weight each, (m,)."""
        lengths = np.array([len(row.places) for row in rows])
        return cls(
            # Numpy looks places up faster by integers of its own size.
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

        Of equal scores the smaller item comes first.

        Args:
            total: of all weights.
            left_out: places that must not be among them.
            item_at: the item at each place.
            n: how many at most.
            scratch: has room for every place.
            shown: which items may be among them; None: all.
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
            sought *= _WIDENED  # to ask of each touched item would take longer than all the rest

    def reasons(
        self, places: Sequence[int], row_items: Sequence[int], most: int, scratch: Scratch
    ) -> list[list[int]]:
        """Return the rows with the largest positive shares in the sum of each of some places.

        Args:
            places: (k,), all different.
            row_items: the items whose rows these are.
            most: how many rows of each place.
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
        """Return each place whose sum is not zero once, and maybe some whose is."""
        if _ALL_ARE_FASTER * len(self.places) > scratch.room:
            return np.flatnonzero(scratch.sums)
        # Of the entries of one place it is the last one whose mark stays.
        order = np.arange(len(self.places), dtype=np.int32)
        scratch.marks[self.places] = order
        distinct: Ints = self.places[scratch.marks[self.places] == order]
        return distinct


def _ranked(
    places: Ints, sums: Floats, total: float, item_at: Sequence[int], n: int
) -> list[Scored]:
    """Return the `n` places with the largest sums, (k,) each, as `Shares.best` says."""
    # What is equal when it is rounded may differ by a unit before.
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
