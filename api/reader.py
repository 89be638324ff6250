"""What answers need of Redis, as reads of `contracts.keyspace`. Who runs them is `api.store`."""

from collections.abc import Collection, Sequence
from typing import Final

from api.bars import Window, minute_bars, minute_field
from api.generations import Generation, GenerationReplacedError, Generations
from api.metrics import Metrics
from api.recommend import Chosen, Wish, first_neighbors, history_of
from api.recommending import Recommending
from api.redis.reading import Read
from api.store import Store
from contracts.generations import SimilarList
from contracts.keyspace import NEWEST_FIELD, BarValue, HistoryEntry
from contracts.partitioning import instrument_partition, user_partition

WHOLE_HASH_ABOVE_MINUTES: Final = 1000
"""Above it, reading the whole hash is cheaper: it holds no more minutes than are retained."""


class Reader:
    """Reads one namespace of a store."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._keys = store.keys
        self._generations = Generations(self._keys)
        self._recommending = Recommending(self._keys, self._generations, metrics)

    def bars(self, instrument_id: int, window: Window) -> Read[list[tuple[int, BarValue]] | None]:
        """Return the minute bars of a window, oldest first; None if the instrument is unknown."""
        topology = yield from self._store.topology()
        key = self._keys.bars(instrument_partition(instrument_id, topology.quotes), instrument_id)
        minutes = window.minutes()
        values: Sequence[bytes | None]
        if len(minutes) > WHOLE_HASH_ABOVE_MINUTES:
            (flat,) = yield [("HGETALL", key)]
            stored = dict(zip(flat[::2], flat[1::2], strict=True))
            known = NEWEST_FIELD.encode() in stored
            values = [stored.get(minute_field(minute).encode()) for minute in minutes]
        else:
            fields = [minute_field(minute) for minute in minutes]
            ((known, *values),) = yield [("HMGET", key, NEWEST_FIELD, *fields)]
        return minute_bars(minutes, values) if known else None

    def history(self, user_id: str) -> Read[dict[int, HistoryEntry]]:
        """Return what a user has: empty for an unknown one."""
        key = yield from self._history_key(user_id)
        (flat,) = yield [("HGETALL", key)]
        return history_of(flat)

    def similar(self, instrument_id: int, n: int) -> Read[tuple[Generation, SimilarList] | None]:
        """Return the first `n` neighbors of an instrument at least; None if it has no list.

        Raises:
            NoModelYetError, GenerationReplacedError: no list can be read.
        """

        def read(generation: Generation) -> Read[tuple[Generation, SimilarList] | None]:
            key = self._keys.model_similar(generation.name, str(instrument_id))
            (value,) = yield [("GET", key)]
            return None if value is None else (generation, first_neighbors(value, n))

        return (yield from self._generations.within_one(None, read))

    def recommendations(self, user_id: str, wish: Wish) -> Read[tuple[Generation, Chosen]]:
        """Return what is recommended to a user, and the generation.

        Raises:
            NoModelYetError, GenerationReplacedError: no list can be read.
        """
        key = yield from self._history_key(user_id)

        def read(generation: Generation) -> Read[tuple[Generation, Chosen] | None]:
            chosen = yield from self._recommending.choose(generation, user_id, key, wish)
            return None if chosen is None else (generation, chosen)

        found = yield from self._generations.within_one(user_id, read)
        if found is None:
            raise GenerationReplacedError
        return found

    def variants(self) -> Read[Collection[str]]:
        """Return the names of the variants that are served, none before the first model."""
        return self._generations.variants()

    def _history_key(self, user_id: str) -> Read[str]:
        topology = yield from self._store.topology()
        return self._keys.history(user_partition(user_id, topology.interactions), user_id)
