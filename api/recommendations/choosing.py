"""Chooses instruments for a user from lists and the user's history. Pure.

Equal scores are ordered by the smaller id.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Final, Literal

import msgspec
import numpy as np
from msgspec.structs import replace

from api.instruments.popular import Ranked
from api.instruments.visibility import Boosts, Shown
from api.recommendations.answers import OtherSource, Recommended, Source
from api.recommendations.fold import Row, Shares
from api.recommendations.lists import GenerationLists
from api.users.history import Histories, latest_items, rejected
from contracts.affinities import HistoryEntry
from contracts.fold_in import ITEMS_MOST, SCORE_DECIMALS, FoldIn, repeat_scores
from contracts.generations import UserList
from contracts.messages import Floats

Repeats = Literal["auto", "none", "first"]
"""Whether as many instruments that the user has lead the list as predict best, none, or all."""
REPEATS_MOST: Final[Mapping[Repeats, int | None]] = MappingProxyType(
    {"auto": None, "none": 0, "first": ITEMS_MOST}
)

CommonWish = tuple[int, int, int | None, float | None, bool, int]
"""The number of instruments, how many come before them, how many repeats lead, how diverse they
are, whether they are named, and the version of the catalog."""


class Wish(msgspec.Struct, frozen=True):
    """What a client requested."""

    n: int
    excluded: frozenset[int]
    repeats: int | None = None
    """how many items that the user has may lead; None: as the variant does"""
    is_filtered: bool = False
    """whether `shown` depends on a filter, and not only on what is listed"""
    catalog_version: int = 0
    """of the catalog that `shown` and new listings are of"""
    shown: Shown | None = None
    """filter of the items that may be shown; None: all"""
    boosts: Boosts | None = None
    """of the client; None: none"""
    diversity: float | None = None
    """0 to 1: how much items of other categories than those before are preferred; None: as the
    variant does"""
    names: bool = False
    """whether items have their instruments' names, and not only the symbols"""
    offset: int = 0
    """how many of the list come before the first one; sources choose from its start"""

    @property
    def is_common(self) -> bool:
        """Whether other clients request the same, so that caching the result is worthwhile.

        There are too many combinations of items, filters and boosts.
        """
        return not (self.excluded or self.is_filtered or self.boosts)

    @property
    def common(self) -> CommonWish:
        """The cache key of common wishes; without `shown`, which refers to a whole catalog."""
        return (
            self.n,
            self.offset,
            self.repeats,
            self.diversity,
            self.names,
            self.catalog_version,
        )

    @property
    def end(self) -> int:
        """How much of the list is needed, from its start."""
        return self.offset + self.n

    def left_out(self, history: Histories) -> frozenset[int]:
        """Return the items that must not be recommended to the user of a history."""
        return self.excluded.union(rejected(history) if self.repeats else history)

    def after(self, items: Sequence[Recommended]) -> "Wish":
        """Return what is still missing after some items."""
        rest = self.without(item.instrument_id for item in items)
        return replace(rest, n=self.n - len(items))

    def without(self, items: Iterable[int]) -> "Wish":
        """Return the same wish with some more items excluded."""
        return replace(self, excluded=self.excluded.union(items))


class Chosen(msgspec.Struct, frozen=True):
    """Recommendations with their source and model."""

    source: Source
    model: str
    items: list[Recommended]
    encoded: msgspec.Raw | None = None
    """the items as an answer has them, of a result that is cached"""

    def and_then(self, source: Source | OtherSource, items: Iterable[Recommended]) -> "Chosen":
        """Return these, and then items of another source."""
        more = [replace(item, source=item.source or source) for item in items]
        return replace(self, items=self.items + more)


def folded_items(history: Histories, fold_in: FoldIn) -> list[int]:
    """Return the items that are folded in: the latest ones first, or all if order is the same.

    Hidden items weigh nothing, so it does not matter if they are among all; they have no position.
    """
    if len(history) <= fold_in.items and not fold_in.half_life_items:
        return [*history]
    latest = latest_items(history, fold_in.items_most)
    if all(history[item].r for item in latest):
        return latest
    shown = {item: entry for item, entry in history.items() if entry.r}
    return latest_items(shown, fold_in.items_most)


def from_own_list(own: UserList, wish: Wish) -> Chosen:
    """Choose from the user's precomputed list."""
    shown = wish.shown
    kept = (i for i in own.items if int(i.item) not in wish.excluded)
    if shown is not None:
        kept = (i for i in kept if shown(int(i.item)))
    items = (Recommended(int(i.item), i.score, [int(item) for item in i.because]) for i in kept)
    return Chosen("model", own.model, [*islice(boosted(items, wish.boosts), wish.n)])


def from_history(
    history: Histories,
    rows: Mapping[int, Row],
    lists: GenerationLists,
    wish: Wish,
    fold_in: FoldIn,
) -> list[Recommended]:
    """Fold the user's items into the items' lists, as `contracts.fold_in` defines.

    Args:
        history: of the user.
        rows: the list of each of `folded_items(history, fold_in)`, in their order, no others.
        lists: the lists that the rows belong to.
        wish: what to choose.
        fold_in: how to weight the items.
    """
    if not rows:
        return []
    weights = weights_of([history[item] for item in rows], fold_in)
    shares, total = Shares.of([*rows.values()], weights), float(np.abs(weights).sum())
    if not len(shares.places) or not total:
        return []
    left_out = lists.places.of_known(wish.left_out(history))
    item_at, sums = lists.places.item_at, lists.sums()
    return shares.best(total, left_out, item_at, [*rows], wish.n, sums, wish.shown, wish.boosts)


def from_repeats(
    history: Histories,
    rows: Mapping[int, Row],
    lists: GenerationLists,
    wish: Wish,
    fold_in: FoldIn,
) -> list[Recommended]:
    """Choose what the user has and may take again, as `contracts.fold_in` defines.

    Args:
        history: of the user.
        rows: as for `from_history`.
        lists: the lists that the rows belong to.
        wish: what to choose.
        fold_in: how to weight the items.
    """
    taken = {item: entry for item, entry in history.items() if entry.r > 0}
    if not taken:
        return []
    items, entries = [*taken], [*taken.values()]
    affinities = np.array([entry.r / entry.s for entry in entries])
    times = np.array([entry.t for entry in entries])
    fits = _fits(items, history, rows, lists, fold_in)
    scores = repeat_scores(affinities, times.max() - times, fits)
    if wish.boosts is not None:
        scores *= wish.boosts.of(np.array(items))
    ranked = sorted(zip((-scores.round(SCORE_DECIMALS)).tolist(), items, strict=True))
    kept = (
        Recommended(item, -negated, [])
        for negated, item in ranked
        if negated < 0 and item not in wish.excluded and (wish.shown is None or wish.shown(item))
    )
    return [*islice(kept, min(wish.repeats or 0, wish.n))]


def _fits(
    items: Sequence[int],
    history: Histories,
    rows: Mapping[int, Row],
    lists: GenerationLists,
    fold_in: FoldIn,
) -> Floats:
    """Return how well each of the user's items fits the others; all 0 if that is unknown."""
    places = lists.places.of_all(items).astype(np.int64)
    weights = weights_of([history[item] for item in rows], fold_in)
    if not (total := float(np.abs(weights).sum())):
        return np.zeros(len(items))
    return Shares.of([*rows.values()], weights).at(places, total, lists.sums())


def weights_of(entries: Sequence[HistoryEntry], fold_in: FoldIn) -> Floats:
    """Return the weight of each of a user's entries, (m,), in the order of `folded_items`."""
    if not entries:
        return np.empty(0)
    affinities = np.array([entry.r / entry.s for entry in entries])
    if not (fold_in.half_life_days or fold_in.half_life_items):
        return affinities
    times = np.array([entry.t for entry in entries])
    return fold_in.weights(affinities, times.max() - times, np.arange(len(entries)))


def from_popular(popular: Ranked, history: Histories, wish: Wish) -> Chosen:
    """Choose from the most popular items."""
    kept = popular.boosted(wish.boosts).shown(wish.left_out(history), wish.shown)
    items = (Recommended(item, score, []) for item, score in kept)
    return Chosen("popular", popular.model, [*islice(items, wish.n)])


def from_catalog(history: Histories, wish: Wish) -> list[Recommended]:
    """Choose from the catalog: nothing is known of these but that they may be shown.

    Their order is that of symbols; what is boosted most comes first, though all scores are 0.
    """
    if wish.shown is None:
        return []
    left_out, items = wish.left_out(history), wish.shown.listed()
    if wish.boosts is not None:
        items = items[np.argsort(-wish.boosts.of(items), kind="stable")]
    kept = (Recommended(item, 0, []) for item in items.tolist() if item not in left_out)
    return [*islice(kept, wish.n)]


def boosted(items: Iterable[Recommended], boosts: Boosts | None) -> Iterable[Recommended]:
    """Return items of one source by their scores, each multiplied by its factor.

    Of equal ones, the order stays.
    """
    if boosts is None:
        return items
    multiplied = [
        replace(item, score=round(item.score * boosts(item.instrument_id), SCORE_DECIMALS))
        for item in items
    ]
    return sorted(multiplied, key=lambda item: -item.score)
