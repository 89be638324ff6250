"""Reads of similar instruments: each returns its whole answer."""

from typing import Final

from api.http.problems import UNKNOWN_INSTRUMENT, Problem
from api.http.replies import LISTS, Reply, reply
from api.instruments.answers import Similar
from api.instruments.similar import first_neighbors, similar_items
from api.models.answers import PredictedItems
from api.models.generations import Generation, Generations
from api.redis.reading import Read
from api.redis.store import Store
from contracts.generations import SimilarList

LEGACY_ITEMS: Final = 10


class SimilarReader:
    """Reads the neighbors of instruments of one namespace."""

    def __init__(self, store: Store, generations: Generations) -> None:
        self._keys = store.keys
        self._generations = generations

    def similar(self, instrument_id: int, n: int) -> Read[Reply]:
        """Answer with the neighbors of an instrument."""
        generation, found = yield from self.neighbors(instrument_id, n)
        items = similar_items(found, n)
        return reply(
            Similar(instrument_id, found.model, generation.variant, generation.name, items), LISTS
        )

    def legacy(self, instrument_id: int) -> Read[Reply]:
        """Answer with the neighbors of an instrument in the first version's form."""
        _, found = yield from self.neighbors(instrument_id, LEGACY_ITEMS)
        items = [str(item.instrument_id) for item in similar_items(found, LEGACY_ITEMS)]
        return reply(PredictedItems(items), LISTS)

    def neighbors(self, instrument_id: int, n: int) -> Read[tuple[Generation, SimilarList]]:
        """Return the first `n` neighbors of an instrument at least; Problem if it has no list."""

        def read(generation: Generation) -> Read[tuple[Generation, SimilarList] | None]:
            key = self._keys.model_similar(generation.name, str(instrument_id))
            (value,) = yield [("GET", key)]
            return None if value is None else (generation, first_neighbors(value, n))

        found = yield from self._generations.within_one(None, read)
        if found is None:
            detail = f"Instrument {instrument_id} is not in the model: no interactions up to now"
            raise Problem(UNKNOWN_INSTRUMENT, detail)
        return found
