"""Recommends to a user: from the sources to an answer, and a cache of the results."""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from api.http.metrics import Metrics
from api.http.replies import encode
from api.models.generations import Generation, Generations
from api.models.listings import NewListings
from api.models.popular import PopularItems
from api.recommendations.answers import Recommended
from api.recommendations.boosting import boosted
from api.recommendations.choosing import (
    Chosen,
    CommonWish,
    Explorable,
    Wish,
    folded_items,
    weights_of,
)
from api.recommendations.diversity import diversified_up_to, diversity_of, pool_for
from api.recommendations.exploring import explored
from api.recommendations.listings import MAX_NEW, Catalog, concerning, with_new
from api.recommendations.sinking import factors_of, sunk
from api.recommendations.sources import Sources
from api.redis.lately import Lately
from api.redis.reading import Command, Read
from api.users.history import Histories, StoredHistory, offset_of
from contracts.exploration import Draw
from contracts.keyspace import OFFSET_FIELD, Keyspace
from contracts.times import HOUR_MS

CHOSEN_BYTES: Final = 100_000_000
"""At least this much of the users' recommendations is cached, and at most twice as much: 29,000
answers of ten items, or 3,600 of a hundred."""
_CHOSEN_OBJECTS_BYTES: Final = 700
"""The overhead of a cached answer in addition to its items, with its key."""
_ITEM_BYTES: Final = 270
"""The size of an item with three others that contributed to it."""

_STRANGERS: Final = ""
"""Instead of a history's key: of users of whom nothing is known, who all get the same."""

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
        now_ms: Callable[[], int],
    ) -> None:
        self._keys = keys
        self._generations = generations
        self._popular = popular
        self._catalog = catalog
        self._now_ms = now_ms
        self._new: dict[str, tuple[int, NewListings]] = {}
        """Of generations: the version of the catalog, and its new listings."""
        self._sources = Sources(keys, generations, popular, metrics)
        self._kept = Lately[tuple[str, CommonWish], _Kept](CHOSEN_BYTES, _bytes_of)
        """Keyed by history and wish."""
        self._choices = metrics.choices

    def choose(
        self,
        generation: Generation,
        user_id: str,
        key: str,
        wish: Wish,
        impressions_key: str | None = None,
    ) -> Read[Chosen | None]:
        """Choose for a user whose history is at `key`; None if the generation has nothing.

        A result for the same history, generation and catalog never changes, so it is cached. If
        there is an `impressions_key`, what the user was shown without a click sinks.

        Raises:
            ExpiredError: the generation may have had lists that are gone.
        """
        hour = 0 if impressions_key is None else self._now_ms() // HOUR_MS
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
        stored = StoredHistory(flat)
        is_stranger = not (flat or own or any(impressions))
        if is_stranger:
            key = _STRANGERS
            known = self._kept.get((key, wish.common)) if wish.is_common else None
            if known is not None and known[0] == generation:
                self._choices.note("kept")
                return known[2]
        self._choices.note("made")
        if impressions and impressions[0]:
            discount = generation.served.impression_discount
            factors = factors_of(impressions[0], stored.items, discount, hour)
            wish = replace(wish, sinks=factors)
        chosen = yield from self._made(generation, stored, own, wish)
        if chosen is not None and wish.is_common and (is_stranger or chosen.source != "popular"):
            chosen = _encoded(chosen)
            version = (stored.offset, *map(offset_of, impressions), hour)
            self._kept.keep((key, wish.common), (generation, version, chosen))
        return chosen

    def _made(
        self, generation: Generation, stored: StoredHistory, own: bytes | None, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose for a user, given what is stored; None if the generation has nothing."""
        new = yield from self._new_listings(generation, stored, wish)
        rest = wish.without(item.instrument_id for item in new) if new else wish
        diversity = diversity_of(wish, generation)
        pool = pool_for(rest, diversity, generation.served.exploration)
        ranked = yield from self._sources.for_user(generation, stored, own, pool)
        if ranked is None:
            return None
        categories, exploration = self._catalog.categories, generation.served.exploration
        # The draws of earlier pages depend on their order.
        since = 0 if exploration else wish.offset - len(new)
        items = diversified_up_to(wish, ranked.items, categories, diversity, since)
        if new:
            items = with_new(items, new)[: wish.end]
        if not exploration:
            return self._named(replace(ranked, items=items[wish.offset :]), wish)
        explorable = Explorable(items, ranked.items, wish.offset, wish.n, diversity)
        return replace(ranked, items=items[wish.offset :], explorable=explorable)

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
            wish.left_out(history),
            wish.shown,
        )
        return sunk(boosted(found, wish.boosts), wish.sinks, MAX_NEW)

    def drawn(
        self, generation: Generation, user_id: str, chosen: Chosen, wish: Wish
    ) -> tuple[Chosen, Draw | None]:
        """Return what a user is shown, and how it was drawn if the variant explores.

        All draws of a user, a generation and an hour agree, for the pages of a list.
        """
        if chosen.explorable is None:
            return chosen, None
        hour = self._now_ms() // HOUR_MS
        seed = f"{generation.name} {generation.variant} {hour} {user_id}"
        items, draw = explored(chosen.explorable, generation.served.exploration, seed)
        return self._named(replace(chosen, items=items), wish), draw

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
        chosen = yield from self._sources.for_items(generation, items, pool)
        if chosen is None:
            return None
        categories = self._catalog.categories
        found = diversified_up_to(wish, chosen.items, categories, diversity, wish.offset)
        return self._named(replace(chosen, items=found[wish.offset :]), wish)

    def _named(self, chosen: Chosen, wish: Wish) -> Chosen:
        """Return the same with symbols and names."""
        items = self._catalog.with_names(chosen.items, names=wish.names)
        return replace(chosen, items=items)


def _encoded(chosen: Chosen) -> Chosen:
    """Return a result as it is cached: encoded, unless some items will be explored."""
    if chosen.explorable is not None:
        return chosen
    return replace(chosen, encoded=msgspec.Raw(encode(chosen.items)))


def _bytes_of(kept: _Kept) -> int:
    chosen = kept[2]
    items = len(chosen.items)
    if chosen.explorable is not None:
        # Those of the list are among the ranked ones, except for new listings.
        items += len(chosen.explorable.ranked)
    return _CHOSEN_OBJECTS_BYTES + _ITEM_BYTES * items
