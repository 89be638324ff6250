"""Reads of similar instruments: each returns its complete answer."""

from __future__ import annotations  # else annotations of inner functions are evaluated at each call

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from api.http.problems import UNKNOWN_INSTRUMENT, Problem
from api.http.replies import LISTS, Reply, reply
from api.instruments.answers import Similar, SimilarInstrument
from api.instruments.shown import Shown
from api.instruments.similar import all_neighbors, first_neighbors, popular_items, similar_items
from api.models.answers import PredictedItems
from api.models.generations import Generation, Generations
from api.models.popular import PopularItems
from api.redis.reading import Command, Read
from api.redis.store import Store
from contracts.generations import SimilarList

LEGACY_ITEMS: Final = 10
_SOUGHT: Final = 3
"""How many times the requested neighbors are read first, if not all may be shown."""

_NOTHING: Final[frozenset[str]] = frozenset()


class _Found(NamedTuple):
    """Similar instruments, and their source."""

    generation: Generation
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
        shown: Callable[[frozenset[str], frozenset[str]], Shown | None],
    ) -> None:
        self._keys = store.keys
        self._generations = generations
        self._popular_items = popular
        self._shown = shown

    def similar(
        self,
        instrument: int,
        n: int,
        category: frozenset[str],
        exclude_category: frozenset[str],
    ) -> Read[Reply]:
        """Answer with the neighbors of an instrument that may be shown."""
        found = yield from self._found(instrument, n, self._shown(category, exclude_category))
        generation = found.generation
        answer = Similar(
            instrument, found.source, found.model, generation.variant, generation.name, found.items
        )
        return reply(answer, LISTS)

    def legacy(self, instrument_id: int) -> Read[Reply]:
        """Answer with the neighbors of an instrument in the first version's form."""
        shown = self._shown(_NOTHING, _NOTHING)
        found = yield from self._found(instrument_id, LEGACY_ITEMS, shown)
        return reply(PredictedItems([str(item.instrument_id) for item in found.items]), LISTS)

    def neighbors(self, instrument_id: int, n: int) -> Read[tuple[Generation, SimilarList]]:
        """Return at least the first `n` neighbors of an instrument; Problem if it has no list."""

        def read(generation: Generation) -> Read[tuple[Generation, SimilarList] | None]:
            (value,) = yield [self._command(generation, instrument_id)]
            return None if value is None else (generation, first_neighbors(value, n))

        found = yield from self._generations.within_one(None, read)
        if found is None:
            raise _unknown(instrument_id)
        return found

    def _found(self, instrument_id: int, n: int, shown: Shown | None) -> Read[_Found]:
        """Return similar instruments, or popular ones if none of these may be shown."""

        def read(generation: Generation) -> Read[_Found | None]:
            (value,) = yield [self._command(generation, instrument_id)]
            if value is None:
                return None
            found = first_neighbors(value, n if shown is None else _SOUGHT * n)
            items = similar_items(found, n, shown)
            if len(items) < n and shown is not None:
                found = all_neighbors(value)
                items = similar_items(found, n, shown)
            if items or not similar_items(found, 1):
                return _Found(generation, "model", found.model, items)
            return (yield from self._popular(generation, instrument_id, n, shown))

        found = yield from self._generations.within_one(None, read)
        if found is None:
            raise _unknown(instrument_id)
        return found

    def _popular(
        self, generation: Generation, instrument_id: int, n: int, shown: Shown | None
    ) -> Read[_Found | None]:
        """Return popular instruments; None if the generation is gone."""
        popular = yield from self._popular_items.of(generation)
        if popular is None:
            return None
        items = popular_items(popular, instrument_id, n, shown)
        return _Found(generation, "popular", popular.model, items)

    def _command(self, generation: Generation, instrument_id: int) -> Command:
        """Return the command that reads the list of an instrument."""
        return "GET", self._keys.model_similar(generation.name, str(instrument_id))


def _unknown(instrument_id: int) -> Problem:
    detail = f"Instrument {instrument_id} is not in the model: no interactions up to now"
    return Problem(UNKNOWN_INSTRUMENT, detail)
