"""Reads of similar instruments: each returns its complete answer."""

from __future__ import annotations  # else annotations of inner functions are evaluated at each call

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeVar

from api.generations.answers import PredictedItems
from api.generations.pointer import Generation, Generations
from api.generations.popular import PopularItems
from api.generations.request_ids import RequestIds
from api.http.filters import ALL, Filter
from api.http.problems import UNKNOWN_INSTRUMENT, Problem
from api.http.replies import LISTS, Reply, reply
from api.instruments.answers import Similar, SimilarInstrument
from api.instruments.catalog import Catalog
from api.instruments.shown import Boosts, Shown
from api.instruments.similar import all_neighbors, first_neighbors, popular_items, similar_items
from api.redis.lately import Lately
from api.redis.reading import Command, Read
from api.redis.store import Store
from contracts.generations import SimilarList

LEGACY_ITEMS: Final = 10
_SOUGHT: Final = 3
"""How many times the requested neighbors are read first, if not all may be shown."""

_REPLIES_BYTES: Final = 25_000_000
"""At least this much of the answers is cached, and at most twice as much: 17,000 of ten items."""
_REPLY_OBJECTS_BYTES: Final = 600
"""The overhead of a cached answer in addition to its body, with its key."""

T = TypeVar("T")


class _Found(NamedTuple):
    """Similar instruments, and their source."""

    source: Literal["model", "popular"]
    model: str
    items: list[SimilarInstrument]


class SimilarReader:
    """Reads the neighbors of instruments of one namespace."""

    def __init__(
        self,
        store: Store,
        generations: Generations,
        popular: PopularItems,
        catalog: Catalog,
        request_ids: RequestIds,
    ) -> None:
        self._keys = store.keys
        self._generations = generations
        self._popular_items = popular
        self._catalog = catalog
        self._request_ids = request_ids
        self._replies = Lately[tuple[object, ...], Reply](_REPLIES_BYTES, _bytes_of)

    def similar(
        self,
        instrument: int,
        n: int,
        offset: int,
        boost: frozenset[str],
        *,
        names: bool,
        **filters: frozenset[str],
    ) -> Read[Reply]:
        """Answer with the neighbors of an instrument that may be shown.

        An answer of the same generation and catalog never changes, so it is cached.
        """
        signer = yield from self._request_ids.signer()
        wanted = Filter(**filters)
        asked = (instrument, n, offset, wanted, boost, names)
        made_of = (self._catalog.version, signer)

        def read(generation: Generation) -> Read[Reply | None]:
            key = (generation.name, generation.variant, *asked, *made_of)
            known = self._replies.get(key)
            if known is not None:
                yield ()
                return known
            limits = self._catalog.shown(wanted), self._catalog.boosts(boost)
            found = yield from self._found(generation, instrument, offset + n, *limits)
            if found is None:
                return None
            items = self._catalog.with_names(found.items[offset:], names=names)
            ids = [item.instrument_id for item in items]
            variant, name = generation.variant, generation.name
            request_id = signer.kept(variant, name, "similar", ids)
            answer = Similar(
                instrument, request_id, found.source, found.model, variant, name, items
            )
            made = reply(answer, LISTS)
            self._replies.keep(key, made)
            return made

        return (yield from self._within_one(instrument, read))

    def legacy(self, instrument_id: int) -> Read[Reply]:
        """Answer with the neighbors of an instrument in the first version's form."""
        shown = self._catalog.shown(ALL)
        found = yield from self._within_one(
            instrument_id,
            lambda generation: self._found(generation, instrument_id, LEGACY_ITEMS, shown),
        )
        return reply(PredictedItems([str(item.instrument_id) for item in found.items]), LISTS)

    def neighbors(self, instrument_id: int, n: int) -> Read[tuple[Generation, SimilarList]]:
        """Return at least the first `n` neighbors of an instrument; Problem if it has no list."""

        def read(generation: Generation) -> Read[tuple[Generation, SimilarList] | None]:
            (value,) = yield [self._command(generation, instrument_id)]
            return None if value is None else (generation, first_neighbors(value, n))

        return (yield from self._within_one(instrument_id, read))

    def _within_one(
        self, instrument_id: int, read: Callable[[Generation], Read[T | None]]
    ) -> Read[T]:
        """Return what is read of an instrument in one generation; Problem if it has no list."""
        found = yield from self._generations.within_one(None, read)
        if found is None:
            raise _unknown(instrument_id)
        return found

    def _found(
        self,
        generation: Generation,
        instrument_id: int,
        n: int,
        shown: Shown | None,
        boosts: Boosts | None = None,
    ) -> Read[_Found | None]:
        """Return similar instruments, or popular ones if none of these may be shown."""
        (value,) = yield [self._command(generation, instrument_id)]
        if value is None:
            return None
        found = first_neighbors(value, n if shown is None else _SOUGHT * n)
        items = similar_items(found, n, shown)
        if boosts is not None or (len(items) < n and shown is not None):
            found = all_neighbors(value)
            items = similar_items(found, n, shown, boosts)
        if items or not similar_items(found, 1):
            return _Found("model", found.model, items)
        popular = yield from self._popular_items.of(generation)
        if popular is None:
            return None
        items = popular_items(popular, instrument_id, n, shown, boosts)
        return _Found("popular", popular.model, items)

    def _command(self, generation: Generation, instrument_id: int) -> Command:
        """Return the command that reads the list of an instrument."""
        return "GET", self._keys.model_similar(generation.name, str(instrument_id))


def _unknown(instrument_id: int) -> Problem:
    detail = f"Instrument {instrument_id} is not in the model: no interactions up to now"
    return Problem(UNKNOWN_INSTRUMENT, detail)


def _bytes_of(kept: Reply) -> int:
    return _REPLY_OBJECTS_BYTES + len(kept.body)
