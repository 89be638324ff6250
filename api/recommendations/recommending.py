"""Recommends to a user: the reads that this takes, and a cache of the results."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, cast

import msgspec

from api.http.metrics import Metrics
from api.models.generations import ExpiredError, Generation, Generations
from api.models.listings import NewListings
from api.models.popular import PopularItems
from api.recommendations.answers import Recommended
from api.recommendations.choosing import (
    Chosen,
    CommonWish,
    Wish,
    folded_items,
    from_catalog,
    from_history,
    from_own_list,
    from_popular,
    from_repeats,
    weights_of,
)
from api.recommendations.diversity import diversified, diversity_of, pool_for
from api.recommendations.exploring import with_candidates
from api.recommendations.fold import Row
from api.recommendations.listings import PER_NEW, Catalog, concerning
from api.recommendations.lists import GenerationLists, Lists
from api.recommendations.sinking import factors_of, sunk
from api.redis.lately import Lately
from api.redis.reading import Command, Read
from api.users.history import Histories, history_of, offset_of, rejected_in
from contracts.generations import UserList
from contracts.keyspace import OFFSET_FIELD, Keyspace
from contracts.log_position import parse_log_position
from contracts.times import HOUR_S

LISTS_AT_ONCE: Final = 64
"""Per round: each has 14 kB, and other requests run in between."""

CHOSEN_BYTES: Final = 100_000_000
"""At least this much of the users' recommendations is cached, and at most twice as much: 29,000
answers of ten items, or 3,600 of a hundred."""
_CHOSEN_OBJECTS_BYTES: Final = 700
"""The overhead of a cached answer in addition to its items, with its key."""
_ITEM_BYTES: Final = 270
"""The size of an item with three others that contributed to it."""

_user = msgspec.json.Decoder(UserList)

_Version = tuple[bytes | int | None, ...]
"""The offset of the history that a result is made from; if impressions count, theirs, and the hour,
else 0."""
_Kept = tuple[Generation, _Version, Chosen]
"""The generation and the version of a result, and the result."""


class Recommending:
    """Chooses for the users of one namespace."""

    def __init__(
        self,
        keys: Keyspace,
        generations: Generations,
        popular: PopularItems,
        catalog: Catalog,
        metrics: Metrics,
        now_s: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._generations = generations
        self._popular = popular
        self._catalog = catalog
        self._now_s = now_s
        self._new: dict[str, tuple[int, NewListings]] = {}
        """Of generations: the version of the catalog, and its new listings."""
        self._lists = Lists()
        self._kept = Lately[tuple[str, CommonWish], _Kept](CHOSEN_BYTES, _bytes_of)
        """Keyed by history and wish."""
        self._choices, self._rows = metrics.choices, metrics.lists

    def choose(
        self,
        generation: Generation,
        user_id: str,
        key: str,
        wish: Wish,
        impressions_key: str | None = None,
    ) -> Read[Chosen | None]:
        """Choose for a user whose history is at `key`; None if the generation has nothing.

        The first of these that has any, and where it has fewer than requested, the next ones: the
        user's own list if it was made from the current history, the history folded into the items'
        lists, popular items. The own list excludes items that the user has: a wish to include these
        gets them first, and then the history folded in. A result for
        the same history, generation and catalog never changes, so it is cached. If there is an
        `impressions_key`, what the user was shown without a click sinks.

        Raises:
            ExpiredError: the generation may have had lists that are gone.
        """
        hour = 0 if impressions_key is None else int(self._now_s() // HOUR_S)
        known = self._kept.get((key, wish.common)) if wish.is_common else None
        if known is not None:
            checks: list[Command] = [("HGET", key, OFFSET_FIELD)]
            if impressions_key is not None:
                checks.append(("HGET", impressions_key, OFFSET_FIELD))
            offsets = yield checks
            if known[:2] == (generation, (*offsets, hour)):
                self._choices.note("kept")
                return known[2]
        own_key = self._keys.model_user(generation.name, user_id)
        reads: list[Command] = [("HGETALL", key), ("GET", own_key)]
        if impressions_key is not None:
            reads.append(("HGETALL", impressions_key))
        flat, own, *impressions = yield reads
        self._choices.note("made")
        if impressions and impressions[0]:
            discount = generation.impression_discount
            factors = factors_of(impressions[0], history_of(flat), discount, hour)
            wish = replace(wish, sinks=factors)
        new = yield from self._new_listings(generation, flat, wish)
        rest = wish.after(new) if new else wish
        diversity = diversity_of(wish, generation)
        pool = pool_for(rest, diversity, generation.exploration)
        ranked = yield from self._best(generation, flat, own, pool)
        if ranked is None:
            return None
        chosen = self._diversified(ranked, rest.n, diversity)
        if new:
            chosen = chosen.and_then("new", new)
        if generation.exploration:
            chosen = with_candidates(chosen, ranked.items)
        if wish.is_common and chosen.source != "popular":
            version = (*map(offset_of, (flat, *impressions)), hour)
            self._kept.keep((key, wish.common), (generation, version, chosen))
        return chosen

    def _best(
        self, generation: Generation, flat: Sequence[bytes], own: bytes | None, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose for a user, given the history and the own list as stored."""
        offset = offset_of(flat)
        chosen = None if wish.include_seen else _own(own, flat, wish)
        if wish.include_seen and offset is not None:
            chosen = yield from self._repeated(generation, history_of(flat), wish)
        elif chosen is None and offset is not None:
            chosen = yield from self._folded_in(generation, history_of(flat), wish)
        return (yield from self._continued(generation, history_of(flat), wish, chosen))

    def _new_listings(
        self, generation: Generation, flat: Sequence[bytes], wish: Wish
    ) -> Read[list[Recommended]]:
        """Return the new listings that concern a user, one for each `PER_NEW` items."""
        version = self._catalog.version
        if wish.n < PER_NEW or not version:
            return []
        popular = yield from self._popular.of(generation)
        if popular is None or not popular.is_whole:
            return []
        known = self._new.get(generation.name)
        if known is None or known[0] != version:
            live = self._generations.live
            self._new = {name: new for name, new in self._new.items() if name in live}
            known = self._new[generation.name] = (version, self._catalog.new_listings(popular))
        if not known[1].of_category:
            return []
        history = history_of(flat)
        items = folded_items(history, generation.fold_in)
        weights = weights_of([history[item] for item in items], generation.fold_in).tolist()
        found = concerning(
            dict(zip(items, weights, strict=True)),
            self._catalog,
            known[1],
            wish.left_out(history),
            wish.shown,
        )
        return sunk(found, wish.sinks, wish.n // PER_NEW)

    def choose_for_items(
        self, generation: Generation, items: Histories, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose for items as if they were a history; None if the generation has nothing.

        Raises:
            ExpiredError: as `choose`.
        """
        yield ()  # all the lists may be in memory
        diversity = diversity_of(wish, generation)
        pool = pool_for(wish, diversity)
        chosen = yield from self._folded_in(generation, items, pool)
        chosen = yield from self._continued(generation, items, pool, chosen)
        return None if chosen is None else self._diversified(chosen, wish.n, diversity)

    def _diversified(self, chosen: Chosen, n: int, diversity: float) -> Chosen:
        if diversity:
            items = diversified(chosen.items, self._catalog.categories, n, diversity)
        elif len(chosen.items) > n:
            items = chosen.items[:n]
        else:
            return chosen
        return replace(chosen, items=items)

    def _continued(
        self, generation: Generation, history: Histories, wish: Wish, chosen: Chosen | None
    ) -> Read[Chosen | None]:
        """Return what was chosen and, if that is too little, what the next sources add to it.

        The rest of the catalog only follows where categories are requested. None if the lists are
        gone.
        """
        if chosen is not None and chosen.source == "model" and len(chosen.items) < wish.n:
            folded = yield from self._folded_in(generation, history, wish.after(chosen.items))
            if folded is not None:
                chosen = chosen.and_then("history", folded.items)
        if chosen is not None and len(chosen.items) == wish.n:
            return chosen
        popular = yield from self._popular.of(generation)
        if popular is None:
            return chosen
        if chosen is None:
            chosen = from_popular(popular, history, wish)
        else:
            rest = from_popular(popular, history, wish.after(chosen.items))
            chosen = chosen.and_then("popular", rest.items)
        if wish.by_category:
            rest_of_all = from_catalog(history, wish.after(chosen.items))
            chosen = chosen.and_then("catalog", rest_of_all)
        return chosen

    def _repeated(
        self, generation: Generation, history: Histories, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose what the user has, and then from the history; None if that gives nothing."""
        lists, rows = yield from self._rows_of(generation, history)
        chosen = from_repeats(history, rows, lists, wish, generation.fold_in)
        if len(chosen.items) == wish.n:
            return chosen
        others = replace(wish.after(chosen.items), include_seen=False)
        folded = from_history(history, rows, lists, others, generation.fold_in)
        if not chosen.items:
            return folded if folded.items else None
        return chosen.and_then("history", folded.items)

    def _folded_in(
        self, generation: Generation, history: Histories, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose from the current history; None if that gives nothing."""
        lists, rows = yield from self._rows_of(generation, history)
        chosen = from_history(history, rows, lists, wish, generation.fold_in)
        return chosen if chosen.items else None

    def _rows_of(
        self, generation: Generation, history: Histories
    ) -> Read[tuple[GenerationLists, dict[int, Row]]]:
        """Return a generation's lists, and the row of each item that is folded in.

        That of an item without a list is empty.

        Raises:
            ExpiredError: a list is missing, and the generation is no longer served: it may have
                expired.
        """
        lists = self._lists.of(generation.name, self._generations.live)
        found = {item: lists.row(item) for item in folded_items(history, generation.fold_in)}
        missing = [item for item, row in found.items() if row is None]
        self._rows.add(len(found) - len(missing), "kept")
        self._rows.add(len(missing), "read")
        absent: list[int] = []
        for start in range(0, len(missing), LISTS_AT_ONCE):
            some = missing[start : start + LISTS_AT_ONCE]
            keys = [self._keys.model_similar(generation.name, str(item)) for item in some]
            values = yield [("GET", key) for key in keys]
            absent += [item for item, value in zip(some, values, strict=True) if value is None]
            for item, value in zip(some, values, strict=True):
                if value is not None:
                    found[item] = _added(lists, item, value)
        if absent and not (yield from self._generations.is_live(generation)):
            raise ExpiredError
        for item in absent:
            found[item] = _added(lists, item, None)
        return lists, cast("dict[int, Row]", found)


def _bytes_of(kept: _Kept) -> int:
    chosen = kept[2]
    return _CHOSEN_OBJECTS_BYTES + _ITEM_BYTES * (len(chosen.items) + len(chosen.candidates))


def _added(lists: GenerationLists, item: int, value: bytes | None) -> Row:
    """Return the row of an item's list, which another answer may have added in between."""
    row = lists.row(item)
    return lists.add(item, value) if row is None else row


def _own(value: bytes | None, flat: Sequence[bytes], wish: Wish) -> Chosen | None:
    """Choose from the user's own list, if it exists, is up to date and has any items."""
    offset = offset_of(flat)
    if value is None or offset is None:
        return None
    own = _user.decode(value)
    if own.off != parse_log_position(offset):
        return None
    # It leaves out what the user has, but knows nothing of rejected items.
    chosen = from_own_list(own, wish.without(rejected_in(flat)))
    return chosen if chosen.items else None
