"""A user's history, and what an event changes in the Gram matrix G = R^T R: pure.

An event that raises r_ui by d changes G_ij and G_ji by d x r_uj for every other item j of the
user's history, and G_ii by 2 x r_ui x d + d^2. An item that leaves the history, since it holds no
more than the cap, takes its products out again (d = -r_ui): so G is at any time the Gram matrix of
the histories as they stand, to the last count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from contracts.messages import Floats, Ints
from stream_processors.marks import NOTHING

CHANGES_AN_EVENT: Final = 2
"""At most: an item leaves, another one comes."""
_ROOM: Final = 8


@dataclass(slots=True)
class History:
    """The items of one user, in no order; at most `cap` of them after each event."""

    mark: int = NOTHING
    """of the last event folded in"""
    place_of: dict[int, int] = field(default_factory=dict)
    item: Ints = field(default_factory=lambda: np.empty(_ROOM, np.int64))
    affinity: Floats = field(default_factory=lambda: np.empty(_ROOM, np.float64))
    ts_ms: list[int] = field(default_factory=list)
    """last event time of each item, epoch ms"""
    touched: set[int] = field(default_factory=set)
    """items that differ from what Redis holds"""
    removed: set[int] = field(default_factory=set)
    scale: dict[int, float] = field(default_factory=dict)
    """if users are weighted: item -> the user's scale that is in its affinity"""
    spent: dict[int, tuple[float, int]] = field(default_factory=dict)
    """if users are weighted by value: item -> sum and number of its transactions' values"""

    @classmethod
    def of(
        cls, mark: int, items: list[int], affinities: list[float], ts_ms: list[int]
    ) -> "History":
        """Return the history as Redis holds it."""
        return cls(
            mark=mark,
            place_of={item: place for place, item in enumerate(items)},
            item=np.array(items + [0] * _ROOM, np.int64),
            affinity=np.array(affinities + [0.0] * _ROOM, np.float64),
            ts_ms=ts_ms,
        )

    def __len__(self) -> int:
        return len(self.place_of)

    def put(self, item: int, affinity: float, ts_ms: int) -> None:
        """Set an item's affinity and last event time."""
        place = self.place_of.get(item)
        if place is None:
            place = self.place_of[item] = len(self.ts_ms)
            self.ts_ms.append(ts_ms)
            if place == len(self.item):
                self.item = np.append(self.item, np.empty_like(self.item))
                self.affinity = np.append(self.affinity, np.empty_like(self.affinity))
            self.item[place] = item
            self.removed.discard(item)
        else:
            self.ts_ms[place] = ts_ms
        self.affinity[place] = affinity
        self.touched.add(item)

    def pop(self, item: int) -> None:
        """Take an item out; the last one moves to its place."""
        place, last = self.place_of.pop(item), len(self.place_of)
        its_last_ts_ms = self.ts_ms.pop()
        if place != last:
            self.item[place] = self.item[last]
            self.affinity[place] = self.affinity[last]
            self.ts_ms[place] = its_last_ts_ms
            self.place_of[int(self.item[place])] = place
        self.touched.discard(item)
        self.removed.add(item)
        self.scale.pop(item, None)
        self.spent.pop(item, None)

    def oldest(self) -> tuple[int, int]:
        """Return the last event time and the item that was not touched for longest."""
        return min((self.ts_ms[place], item) for item, place in self.place_of.items())


class Change(NamedTuple):
    """Of one event: `delta[k]` to G[item, j[k]] and to its mirror, `diagonal` to G[item, item]."""

    offset: int
    item: int
    j: Ints
    delta: Floats
    diagonal: float

    @property
    def rows(self) -> int:
        """How many entries of G change."""
        return 2 * len(self.j) + 1


def fold_event(
    history: History, offset: int, item: int, increase: float, ts_ms: int, cap: int
) -> list[Change]:
    """Fold one event into the history; return what it changes in G.

    Args:
        history: changed in place.
        offset: of the event in its partition's log.
        item: what the user touched.
        increase: of the affinity, 0 or more.
        ts_ms: event time, epoch ms.
        cap: the most items that a history keeps: those touched last, ties to the greater id.
    """
    place = history.place_of.get(item)
    if place is None:
        changes = make_room(history, offset, item, ts_ms, cap) if increase else None
        if changes is None:
            return []
        so_far, last_ts_ms = 0.0, ts_ms
    else:
        changes = []
        so_far, last_ts_ms = float(history.affinity[place]), history.ts_ms[place]
    if increase:
        changes.append(change_of(history, offset, item, increase))
    history.put(item, so_far + increase, max(last_ts_ms, ts_ms))
    return changes


def make_room(
    history: History, offset: int, item: int, ts_ms: int, cap: int
) -> list[Change] | None:
    """Make room for a new item; return what that changes in G, None if the item is too old."""
    if len(history) < cap:
        return []
    oldest = history.oldest()
    if (ts_ms, item) < oldest:
        return None
    so_far = float(history.affinity[history.place_of[oldest[1]]])
    change = change_of(history, offset, oldest[1], -so_far)
    history.pop(oldest[1])
    return [change]


def change_of(history: History, offset: int, item: int, d: float) -> Change:
    """Return what a change of the item's affinity by d does to G, before it is made."""
    n = len(history)
    place = history.place_of.get(item)
    if place is None:
        others, affinities, so_far = history.item[:n].copy(), history.affinity[:n], 0.0
    else:
        others = np.delete(history.item[:n], place)
        affinities = np.delete(history.affinity[:n], place)
        so_far = float(history.affinity[place])
    return Change(offset, item, others, d * affinities, 2 * so_far * d + d * d)


@dataclass(frozen=True, slots=True)
class Rows:
    """Changes as columns of one length n: add `delta` to G[i, j] because of `offset`."""

    offset: Ints
    i: Ints
    j: Ints
    delta: Floats


def rows_of(changes: Sequence[Change]) -> Rows:
    """Return every entry of G that changes, at least one, touch: mirrors and diagonal included.

    The rows of a change stand together, changes in their order: offsets rise.
    """
    n_others = np.array([len(c.j) for c in changes], np.int64)
    ends = np.cumsum(2 * n_others + 1)
    # A change's rows: its pairs, as many mirrors of them, the diagonal.
    mirror = np.arange(n_others.sum()) + np.repeat(ends - 1 - np.cumsum(n_others), n_others)
    pair = mirror - np.repeat(n_others, n_others)
    diagonal = ends - 1
    item = np.array([c.item for c in changes], np.int64)
    own, other = np.repeat(item, n_others), np.concatenate([c.j for c in changes])
    delta = np.concatenate([c.delta for c in changes])
    rows = Rows(
        offset=np.repeat(np.array([c.offset for c in changes], np.int64), 2 * n_others + 1),
        i=np.empty(ends[-1], np.int64),
        j=np.empty(ends[-1], np.int64),
        delta=np.empty(ends[-1], np.float64),
    )
    rows.i[pair], rows.i[mirror], rows.i[diagonal] = own, other, item
    rows.j[pair], rows.j[mirror], rows.j[diagonal] = other, own, item
    rows.delta[pair], rows.delta[mirror] = delta, delta
    rows.delta[diagonal] = [c.diagonal for c in changes]
    return rows
