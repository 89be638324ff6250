"""Recommends to a user: from the sources to an answer, and a cache of the results."""

from itertools import islice
from typing import Final

import msgspec
from msgspec.structs import replace

from api.generations.pointer import Generation, Generations
from api.http.metrics import Metrics
from api.http.reply import encode
from api.instruments.catalog import Catalog, NewListings
from api.instruments.popular import PopularItems
from api.recommendations.answers import Recommended
from api.recommendations.choosing import Chosen, CommonWish, Wish, boosted, folded_items, weights_of
from api.recommendations.reranking import (
    MAX_NEW,
    concerning,
    diversified_up_to,
    diversity_of,
    pool_for,
    with_new,
)
from api.recommendations.sources import Sources
from api.redis.lru import LruCache
from api.redis.reading import Read
from api.users.history import Histories, StoredHistory
from contracts.keyspace import OFFSET_FIELD, Keyspace

CHOSEN_BYTES: Final = 100_000_000
"""At least this much of the users' recommendations is cached, and at most twice as much: 29,000
answers of ten items, or 3,600 of a hundred."""
_CHOSEN_OBJECTS_BYTES: Final = 700
"""The overhead of a cached answer in addition to its items, with its key."""
_ITEM_BYTES: Final = 270
"""The size of an item with three others that contributed to it."""

_STRANGERS: Final = ""
"""Instead of a history's key: of users of whom nothing is known, who all get the same."""

_Kept = tuple[Generation, bytes | None, Chosen]
"""The generation and the offset of the history that a result is made from, and the result."""


class Recommender:
    """Chooses for the users of one namespace."""

    def __init__(
        self,
        keys: Keyspace,
        generations: Generations,
        popular: PopularItems,
        catalog: Catalog,
        metrics: Metrics,
    ) -> None:
        self._keys = keys
        self._generations = generations
        self._popular = popular
        self._catalog = catalog
        self._new: dict[str, tuple[int, NewListings]] = {}
        """Of generations: the version of the catalog, and its new listings."""
        self._sources = Sources(keys, generations, popular, metrics)
        self._kept = LruCache[tuple[str, CommonWish], _Kept](CHOSEN_BYTES, _bytes_of)
        """Keyed by history and wish."""
        self._choices = metrics.choices

    def choose(
        self, generation: Generation, user_id: str, key: str, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose for a user whose history is at `key`; None if the generation has nothing.

        A result for the same history, generation and catalog never changes, so it is cached.

        Raises:
            ExpiredError: the generation may have had lists that are gone.
        """
        known = self._kept.get((key, wish.common)) if wish.is_common else None
        if known is not None:
            (offset,) = yield [("HGET", key, OFFSET_FIELD)]
            if known[:2] == (generation, offset):
                self._choices.note("kept")
                return known[2]
        own_key = self._keys.model_user(generation.name, user_id)
        flat, own = yield [("HGETALL", key), ("GET", own_key)]
        stored = StoredHistory(flat)
        is_stranger = not (flat or own)
        if is_stranger:
            key = _STRANGERS
            known = self._kept.get((key, wish.common)) if wish.is_common else None
            if known is not None and known[0] == generation:
                self._choices.note("kept")
                return known[2]
        self._choices.note("made")
        chosen = yield from self._made(generation, stored, own, wish)
        if chosen is not None and wish.is_common and (is_stranger or chosen.source != "popular"):
            chosen = replace(chosen, encoded=msgspec.Raw(encode(chosen.items)))
            self._kept.keep((key, wish.common), (generation, stored.offset, chosen))
        return chosen

    def _made(
        self, generation: Generation, stored: StoredHistory, own: bytes | None, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose for a user, given what is stored; None if the generation has nothing."""
        if wish.repeats is None:
            wish = replace(wish, repeats=generation.served.repeats)
        new = yield from self._new_listings(generation, stored, wish)
        rest = wish.without(item.instrument_id for item in new) if new else wish
        diversity = diversity_of(wish, generation)
        pool = pool_for(rest, diversity)
        ranked = yield from self._sources.for_user(generation, stored, own, pool)
        if ranked is None:
            return None
        since = wish.offset - len(new)
        items = diversified_up_to(wish, ranked.items, self._catalog.categories, diversity, since)
        if new:
            items = with_new(items, new)[: wish.end]
        return self._named(ranked, items, wish)

    def _new_listings(
        self, generation: Generation, stored: StoredHistory, wish: Wish
    ) -> Read[list[Recommended]]:
        """Return the new listings that concern a user: the same for each page of a list."""
        version = self._catalog.version
        if not version:
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
        history = stored.items
        items = folded_items(history, generation.served.fold_in)
        weights = weights_of([history[item] for item in items], generation.served.fold_in).tolist()
        found = concerning(
            dict(zip(items, weights, strict=True)),
            self._catalog,
            known[1],
            wish.excluded.union(history),  # what the user has already is a repeat
            wish.shown,
        )
        return [*islice(boosted(found, wish.boosts), MAX_NEW)]

    def choose_for_items(
        self, generation: Generation, items: Histories, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose for items as if they were a history; None if the generation has nothing.

        Raises:
            ExpiredError: as `choose`.
        """
        yield ()  # all the lists may be in memory
        diversity = diversity_of(wish, generation)
        chosen = yield from self._sources.for_items(generation, items, pool_for(wish, diversity))
        if chosen is None:
            return None
        categories = self._catalog.categories
        found = diversified_up_to(wish, chosen.items, categories, diversity, wish.offset)
        return self._named(chosen, found, wish)

    def _named(self, chosen: Chosen, items: list[Recommended], wish: Wish) -> Chosen:
        """Return a page of the items, with symbols and names."""
        named = self._catalog.with_names(items[wish.offset :], names=wish.names)
        return replace(chosen, items=named)


def _bytes_of(kept: _Kept) -> int:
    return _CHOSEN_OBJECTS_BYTES + _ITEM_BYTES * len(kept[2].items)
