"""Choosing instruments for a user, out of lists and what the user has. Pure.

Equal scores are ordered by the smaller id.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec
import numpy as np

from api.answers import Held, History, Recommended, SimilarInstrument, Source
from api.fold import Row, Shares
from api.lists import GenerationLists
from contracts.fold_in import FoldIn
from contracts.generations import PopularList, Recommendation, SimilarList, UserList
from contracts.keyspace import OFFSET_FIELD, HistoryEntry
from contracts.messages import Floats

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
    try:
        return flat[flat.index(_OFFSET) + 1]
    except ValueError:
        return None


def latest_items(history: Histories, n: int) -> list[int]:
    """Return the `n` items that the user touched last, latest first."""
    return heapq.nsmallest(n, history, key=lambda item: (-history[item].t, item))


def folded_items(history: Histories, fold_in: FoldIn) -> list[int]:
    """Return the items that are folded in: all, or those that the user touched last."""
    if len(history) <= fold_in.items:
        return [*history]
    return latest_items(history, fold_in.items)


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
    """Return the first `n` neighbors of a list whose scores are above 0."""
    return [
        SimilarInstrument(int(neighbor.item), neighbor.score, neighbor.support)
        for neighbor in similar.items[:n]
        if neighbor.score > 0
    ]


def from_own_list(own: UserList, wish: Wish) -> Chosen:
    """Choose from the list that the model made for the user."""
    return Chosen("model", own.model, _first(own.items, wish.excluded, wish.n))


def from_history(
    history: Histories,
    rows: Mapping[int, Row],
    lists: GenerationLists,
    wish: Wish,
    fold_in: FoldIn,
) -> Chosen:
    """Fold items of the user into the items' lists, as `contracts.fold_in` says.

    Args:
        history: what the user has.
        rows: the list of each of `folded_items(history, fold_in)`, and of no other.
        lists: that the rows are of.
        wish: what to choose.
        fold_in: how to weigh the items.
    """
    nothing = Chosen("history", lists.model, [])
    if not rows:
        return nothing
    weights = _weights([history[item] for item in rows], fold_in)
    shares, total = Shares.of([*rows.values()], weights), float(weights.sum())
    if not len(shares.places) or not total:
        return nothing
    scratch = lists.scratch()
    left_out = lists.places.of_known(wish.left_out(history))
    best = shares.best(total, left_out, lists.places.item_at, wish.n, scratch)
    reasons = shares.reasons([one.place for one in best], [*rows], REASONS, scratch)
    items = [
        Recommended(one.item, one.score, because)
        for one, because in zip(best, reasons, strict=True)
    ]
    return Chosen("history", lists.model, items)


def _weights(entries: Sequence[HistoryEntry], fold_in: FoldIn) -> Floats:
    """Return the weight of each entry of a user, (m,)."""
    affinities = np.array([entry.r / entry.s for entry in entries])
    times = np.array([entry.t for entry in entries])
    return fold_in.weights(affinities, times.max() - times)


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
