"""Changes of users who leave, and all changes of a flush a few rows of G at a time: pure.

A leaving user with h items changes h x (h + 1) / 2 counts. Until these are written, only h numbers
are kept, so that memory stays bounded when many leave at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from contracts.columns import integers
from contracts.messages import Floats, Ints
from contracts.partitioning import are_in_row
from stream_processors.cooccurrences.sums import Sums, merged, summed
from stream_processors.cooccurrences.table import i_of, keys_of, rows_in
from stream_processors.ids import starts_of_runs


class _User(NamedTuple):
    """Subtract `r_i[k] * r_j[h]` from G[i, j] where row i has it; i and j by their numbers."""

    i: Ints
    r_i: Floats
    j: Ints
    r_j: Floats


_NOBODY: Final = _User(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0))


class Leaving:
    """The users who leave, in order of arrival."""

    def __init__(self) -> None:
        self._users: list[_User] = []
        self.pairs = 0
        """of items here with all items: row i has about half of them"""

    def add(self, i: Ints, r_i: Floats, j: Ints, r_j: Floats) -> None:
        """Add a user: the items whose rows are here, and all items, with their affinities."""
        self._users.append(_User(i, r_i, j, r_j))
        self.pairs += len(i) * len(j)

    def take(self, items: Ints) -> "Left":
        """Return all users by row, and clear.

        Args:
            items: by number.
        """
        users = self._users or [_NOBODY]
        self._users, self.pairs = [], 0
        i = np.concatenate([user.i for user in users])
        order = np.argsort(i, kind="stable")
        whose = np.repeat(np.arange(len(users)), [len(user.i) for user in users])[order]
        length = np.array([len(user.j) for user in users], np.int64)
        start = np.cumsum(length) - length
        return Left(
            i=i[order],
            r_i=np.concatenate([user.r_i for user in users])[order],
            start=start[whose],
            length=length[whose],
            j=np.concatenate([user.j for user in users]),
            r_j=np.concatenate([user.r_j for user in users]),
            items=items,
        )


@dataclass(frozen=True, slots=True)
class Left:
    """Changes to n rows of G, which may be repeated."""

    i: Ints
    """(n,) ascending"""
    r_i: Floats
    start: Ints
    """(n,) where that user's items begin in j"""
    length: Ints
    """(n,) how many there are"""
    j: Ints
    r_j: Floats
    items: Ints
    """by number"""

    def between(self, first: int, last: int) -> Sums:
        """Return the changes to the rows from the first number to the last one."""
        its = slice(*np.searchsorted(self.i, [first, last + 1]))
        length = self.length[its]
        ends = np.cumsum(length)
        place = np.arange(length.sum()) - np.repeat(ends - length - self.start[its], length)
        row = np.repeat(np.arange(its.start, its.stop), length)
        is_here = are_in_row(self.items[self.i[row]], self.items[self.j[place]])
        row, place = row[is_here], place[is_here]
        delta = -self.r_i[row] * self.r_j[place]
        size = np.abs(delta) if integers(delta) is None else None
        return summed(keys_of(self.i[row], self.j[place]), delta, size)


def pieces(sums: Sums, left: Left, at_once: int) -> Iterator[Sums]:
    """Yield all changes added up, by ascending key; no row of G is split.

    Args:
        sums: all other changes.
        left: changes of leaving users.
        at_once: changes per piece, unless one row has more.
    """
    rows = np.concatenate([rows_in(sums.key), left.i])
    changes = np.concatenate([_lengths_of_rows(sums), left.length])
    numbers, place = np.unique(rows, return_inverse=True)
    filled = np.cumsum(np.bincount(place, changes, len(numbers)))
    first, before = 0, 0.0
    while first < len(numbers):
        end = max(first + 1, int(np.searchsorted(filled, before + at_once, side="right")))
        yield _between(sums, left, int(numbers[first]), int(numbers[end - 1]))
        first, before = end, float(filled[end - 1])


def _between(sums: Sums, left: Left, first: int, last: int) -> Sums:
    bounds = keys_of(np.array([first, last + 1]), np.zeros(2, np.int64))
    its = slice(*np.searchsorted(sums.key, bounds))
    size = None if sums.size is None else sums.size[its]
    return merged(Sums(sums.key[its], sums.delta[its], size), left.between(first, last))


def _lengths_of_rows(sums: Sums) -> Ints:
    return np.diff(np.append(starts_of_runs(i_of(sums.key)), len(sums)))
