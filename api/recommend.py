"""Choosing instruments for a user, out of lists and what the user has. Pure.

Ids are text here, as in the lists; equal scores are ordered by the smaller id.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec

from api.answers import Held, History, Recommended, SimilarInstrument, Source
from contracts.keyspace import (
    NOT_ITEMS,
    OFFSET_FIELD,
    HistoryEntry,
    Neighbor,
    PopularList,
    Recommendation,
    SimilarList,
    UserList,
)

FOLDED_IN_ITEMS: Final = 50
"""How many of a user's latest items are folded in: each costs reading one list."""
REASONS: Final = 3
"""How many of the items that speak for a folded-in recommendation are named."""

_Rows = Mapping[str, Sequence[Neighbor]]
"""The neighbors of some items."""

_entry = msgspec.json.Decoder(HistoryEntry)
_offset = msgspec.json.Decoder(tuple[int, int])


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asked for."""

    n: int
    excluded: frozenset[str]
    include_seen: bool

    def left_out(self, seen: Collection[str]) -> frozenset[str]:
        """Return the items that must not be recommended to a user who has `seen`."""
        return self.excluded if self.include_seen else self.excluded.union(seen)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Recommendations, and the source and model that they come from."""

    source: Source
    model: str
    items: list[Recommended]


def history_of(fields: Mapping[str, str]) -> dict[str, HistoryEntry]:
    """Return the items of a `history` hash."""
    return {item: _entry.decode(v) for item, v in fields.items() if item not in NOT_ITEMS}


def offset_of(fields: Mapping[str, str]) -> tuple[int, int]:
    """Return the incarnation and offset of a `history` hash."""
    return _offset.decode(fields[OFFSET_FIELD])


def latest_items(history: Mapping[str, HistoryEntry], n: int) -> list[str]:
    """Return the `n` items that the user touched last, latest first."""
    return heapq.nsmallest(n, history, key=lambda item: (-history[item].t, int(item)))


def history_answer(user_id: str, history: Mapping[str, HistoryEntry]) -> History:
    """Return what is known of a user, latest first."""
    items = latest_items(history, len(history))
    return History(user_id, [Held(int(i), history[i].r, history[i].t) for i in items])


def similar_items(similar: SimilarList, n: int) -> list[SimilarInstrument]:
    """Return the first `n` neighbors of a list."""
    return [SimilarInstrument(int(i.item), i.score, i.support) for i in similar.items[:n]]


def from_own_list(own: UserList, wish: Wish) -> Chosen:
    """Choose from the list that the model made for the user."""
    return Chosen("model", own.model, _first(own.items, wish.excluded, wish.n))


def from_history(
    history: Mapping[str, HistoryEntry], lists: Mapping[str, SimilarList], wish: Wish
) -> Chosen:
    """Fold the user's latest items into the items' lists.

    The score of item j is the mean of sim(i, j) over the latest items i of the user, weighted by
    the affinities: `score(j) = sum_i r_ui sim(i, j) / sum_i r_ui`. So it stays in the range of the
    similarities whatever the number of items, and an item that many of the user's items know
    stands before one that few do. An item missing in i's list has sim(i, j) = 0.

    Source: Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering recommendation
    algorithms", 2001, section 3.2.1, with the user's total affinity as the divisor: their divisor,
    the similarities themselves, lets one weak neighbor outrank many.
    """
    latest = latest_items(history, FOLDED_IN_ITEMS)
    affinities = {item: history[item].r for item in latest}
    rows = {item: lists[item].items for item in latest if item in lists}
    sums = _sums(affinities, rows)
    for item in wish.left_out(history):
        sums.pop(item, None)
    total = sum(affinities.values())
    shares = _shares(affinities, rows, _largest(sums, wish.n))
    items = [Recommended(int(i), sums[i] / total, _strongest(of)) for i, of in shares.items()]
    return Chosen("history", next((own.model for own in lists.values()), ""), items)


def from_popular(popular: PopularList, seen: Collection[str], wish: Wish) -> Chosen:
    """Choose from what is popular with everyone."""
    items = (Recommendation(p.item, p.score, []) for p in popular.items)
    return Chosen("popular", popular.model, _first(items, wish.left_out(seen), wish.n))


def _first(items: Iterable[Recommendation], left_out: frozenset[str], n: int) -> list[Recommended]:
    """Return the first `n` items that are not left out."""
    kept = (i for i in items if i.item not in left_out)
    return [
        Recommended(int(i.item), i.score, [int(item) for item in i.because])
        for i in islice(kept, n)
    ]


def _sums(affinities: Mapping[str, float], rows: _Rows) -> dict[str, float]:
    """Return the sum of affinity times similarity of each item in the rows."""
    sums: dict[str, float] = {}
    for item, neighbors in rows.items():
        affinity = affinities[item]
        for neighbor in neighbors:
            sums[neighbor.item] = sums.get(neighbor.item, 0.0) + affinity * neighbor.score
    return sums


def _shares(
    affinities: Mapping[str, float], rows: _Rows, chosen: Sequence[str]
) -> dict[str, list[tuple[float, str]]]:
    """Return what each row adds to the sums of the chosen items, which keep their order."""
    shares: dict[str, list[tuple[float, str]]] = {item: [] for item in chosen}
    for item, neighbors in rows.items():
        for neighbor in neighbors:
            if neighbor.item in shares:
                shares[neighbor.item].append((affinities[item] * neighbor.score, item))
    return shares


def _largest(sums: Mapping[str, float], n: int) -> list[str]:
    """Return the `n` items with the largest sums, largest first."""
    # Finding the last sum to make it first spares comparing ids where no tie needs it.
    least = min(heapq.nlargest(n, sums.values()), default=0.0)
    best = (item for item, value in sums.items() if value >= least)
    return heapq.nsmallest(n, best, key=lambda item: (-sums[item], int(item)))


def _strongest(shares: Sequence[tuple[float, str]]) -> list[int]:
    """Return the items with the largest shares in a score."""
    largest = heapq.nsmallest(REASONS, shares, key=lambda share: (-share[0], int(share[1])))
    return [int(item) for _, item in largest]
