"""Choosing instruments for a user, out of lists and what the user has. Pure.

Equal scores are ordered by the smaller id.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np

from api.answers import Held, History, Recommended, SimilarInstrument, Source
from api.lists import GenerationLists, Row
from contracts.keyspace import (
    OFFSET_FIELD,
    HistoryEntry,
    PopularList,
    Recommendation,
    SimilarList,
    UserList,
)
from contracts.messages import Floats, Ints

FOLDED_IN_ITEMS: Final = 50
"""How many of a user's latest items are folded in: each costs reading one list."""
REASONS: Final = 3
"""How many of the items that speak for a folded-in recommendation are named."""

Histories = Mapping[int, HistoryEntry]
"""What a user has, by item."""

_OFFSET: Final = OFFSET_FIELD.encode()

_entry = msgspec.json.Decoder(HistoryEntry)
_similar = msgspec.json.Decoder(SimilarList)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asked for."""

    n: int
    excluded: frozenset[int]
    include_seen: bool

    def left_out(self, seen: Collection[int]) -> frozenset[int]:
        """Return the items that must not be recommended to a user who has `seen`."""
        return self.excluded if self.include_seen else self.excluded.union(seen)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Recommendations, and the source and model that they come from."""

    source: Source
    model: str
    items: list[Recommended]


def history_of(flat: Sequence[bytes]) -> dict[int, HistoryEntry]:
    """Return the items of a `history` hash, given as fields and values in turn."""
    decode = _entry.decode
    fields = zip(flat[::2], flat[1::2], strict=True)
    return {int(item): decode(value) for item, value in fields if item != _OFFSET}


def offset_of(flat: Sequence[bytes]) -> bytes | None:
    """Return the offset of a `history` hash as it stands there, None if it has none."""
    return flat[flat.index(_OFFSET) + 1] if _OFFSET in flat else None


def latest_items(history: Histories, n: int) -> list[int]:
    """Return the `n` items that the user touched last, latest first."""
    return heapq.nsmallest(n, history, key=lambda item: (-history[item].t, item))


def history_answer(user_id: str, history: Histories) -> History:
    """Return what is known of a user, latest first."""
    items = latest_items(history, len(history))
    return History(user_id, [Held(item, history[item].r, history[item].t) for item in items])


def first_neighbors(value: bytes, n: int) -> SimilarList:
    """Return a `SimilarList` up to its first `n` neighbors at least, out of its JSON.

    Only so much of it is decoded: a list has 200 neighbors, and ten are asked for.
    """
    parts = value.split(b"},", n)
    if len(parts) > n:
        try:
            return _similar.decode(b"},".join(parts[:n]) + b"}]}")
        except msgspec.DecodeError:
            pass  # somebody else's JSON: in another order, or with blanks
    return _similar.decode(value)


def similar_items(similar: SimilarList, n: int) -> list[SimilarInstrument]:
    """Return the first `n` neighbors of a list."""
    return [SimilarInstrument(int(i.item), i.score, i.support) for i in similar.items[:n]]


def from_own_list(own: UserList, wish: Wish) -> Chosen:
    """Choose from the list that the model made for the user."""
    return Chosen("model", own.model, _first(own.items, wish.excluded, wish.n))


def from_history(history: Histories, lists: GenerationLists, wish: Wish) -> Chosen:
    """Fold the user's latest items into the items' lists, which must have been read.

    The score of item j is the mean of sim(i, j) over the latest items i of the user, weighted by
    the affinities: `score(j) = sum_i r_ui sim(i, j) / sum_i r_ui`. So it stays in the range of the
    similarities whatever the number of items, and an item that many of the user's items know
    stands before one that few do. An item missing in i's list has sim(i, j) = 0.

    Source: Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering recommendation
    algorithms", 2001, section 3.2.1, with the user's total affinity as the divisor: their divisor,
    the similarities themselves, lets one weak neighbor outrank many.
    """
    latest = latest_items(history, FOLDED_IN_ITEMS)
    total = sum(history[item].r for item in latest)
    rows = [(item, row) for item in latest if (row := lists.row(item)) is not None and len(row[0])]
    if not rows:
        return Chosen("history", lists.model, [])
    shares = _Shares.of(rows, history)
    best = _largest(shares, lists, wish.left_out(history), wish.n)
    reasons = shares.reasons([place for place, _ in best])
    items = [
        Recommended(lists.item_at[place], value / total, reasons[place]) for place, value in best
    ]
    return Chosen("history", lists.model, items)


def from_popular(popular: PopularList, seen: Collection[int], wish: Wish) -> Chosen:
    """Choose from what is popular with everyone."""
    items = (Recommendation(p.item, p.score, []) for p in popular.items)
    return Chosen("popular", popular.model, _first(items, wish.left_out(seen), wish.n))


def _first(items: Iterable[Recommendation], left_out: frozenset[int], n: int) -> list[Recommended]:
    """Return the first `n` items that are not left out."""
    kept = (i for i in items if int(i.item) not in left_out)
    return [
        Recommended(int(i.item), i.score, [int(item) for item in i.because])
        for i in islice(kept, n)
    ]


@dataclass(slots=True)
class _Shares:
    """What each entry of some rows adds to the sum of its item."""

    items: list[int]
    """(m,): whose rows they are"""
    ends: Ints
    """(m,): where each row's entries end"""
    places: Ints
    """(e,): whose sum an entry adds to"""
    shares: Floats
    """(e,): affinity times similarity"""

    @classmethod
    def of(cls, rows: Sequence[tuple[int, Row]], history: Histories) -> "_Shares":
        return cls(
            items=[item for item, _ in rows],
            ends=np.cumsum([len(row.places) for _, row in rows]),
            places=np.concatenate([row.places for _, row in rows]),
            shares=np.concatenate([row.scores * history[item].r for item, row in rows]),
        )

    def keep(self, entries: Any) -> None:
        """Keep the entries that `entries`, (e,), is true for."""
        kept = np.flatnonzero(entries)
        rows = np.searchsorted(self.ends, kept, side="right")
        self.items = [self.items[row] for row in rows.tolist()]
        self.ends = np.arange(1, len(kept) + 1)
        self.places, self.shares = self.places[kept], self.shares[kept]

    def reasons(self, chosen: Sequence[int]) -> dict[int, list[int]]:
        """Return the items with the largest shares in each chosen sum, once `keep` was called."""
        of: dict[int, list[tuple[float, int]]] = {place: [] for place in chosen}
        entries = zip(self.places.tolist(), self.shares.tolist(), self.items, strict=True)
        for place, share, item in entries:
            if place in of:
                of[place].append((-share, item))
        return {place: [item for _, item in sorted(all_)[:REASONS]] for place, all_ in of.items()}


def _largest(
    shares: _Shares, lists: GenerationLists, left_out: Iterable[int], n: int
) -> list[tuple[int, float]]:
    """Return place and value of the `n` largest sums, largest first; keep their entries only."""
    sums, excluded = lists.sums(), lists.places(left_out)
    np.add.at(sums, shares.places, shares.shares)
    sums[excluded] = -np.inf
    values = sums[shares.places]
    sums[shares.places] = 0
    sums[excluded] = 0
    # An item has at most one entry in each row, so these many entries are of n items at least.
    enough = min(n * len(shares.items), len(values))
    least = np.partition(values, len(values) - enough)[len(values) - enough]
    entries = (values >= least) & (values > -np.inf)
    shares.keep(entries)
    of = dict(zip(shares.places.tolist(), values[entries].tolist(), strict=True))
    item_at = lists.item_at
    return sorted(of.items(), key=lambda entry: (-entry[1], item_at[entry[0]]))[:n]
