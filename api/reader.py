"""What answers need of Redis, as reads of `contracts.keyspace`. Who runs them is `api.store`."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from api.bars import Window, minute_bars, minute_field
from api.generations import ExpiredError, Generation, GenerationReplacedError, Generations
from api.lately import Lately
from api.lists import GenerationLists, Lists
from api.recommend import (
    FOLDED_IN_ITEMS,
    Chosen,
    Wish,
    first_neighbors,
    from_history,
    from_own_list,
    from_popular,
    history_of,
    latest_items,
    offset_of,
)
from api.redis.reading import Read
from api.store import Store
from contracts.keyspace import (
    NEWEST_FIELD,
    OFFSET_FIELD,
    BarValue,
    HistoryEntry,
    PopularList,
    SimilarList,
    UserList,
)
from contracts.partitioning import instrument_partition, user_partition

WHOLE_HASH_ABOVE_MINUTES: Final = 1000
"""Above it, reading the whole hash is cheaper: it holds no more minutes than are retained."""

FOLDED_KEPT: Final = 32_768
"""Of what was chosen for users, at least as much is kept, at most twice as much; 1.5 kB each."""

_offset = msgspec.json.Decoder(tuple[int, int])
_user = msgspec.json.Decoder(UserList)
_popular = msgspec.json.Decoder(PopularList)


class Reader:
    """Reads one namespace of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys
        self._lists = Lists()
        self._generations = Generations(self._keys)
        self._folded = Lately[tuple[str, Wish], tuple[Generation, bytes | None, Chosen]](
            FOLDED_KEPT
        )
        """By history and wish: of which generation and at which offset something was chosen."""

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

        The first that has anything: the user's own list if it was made from what the user has now,
        the latest of that folded into the items' lists, what is popular. The own list leaves out
        what the user has, so it cannot answer a wish to include that.

        Raises:
            NoModelYetError, GenerationReplacedError: no list can be read.
        """
        key = yield from self._history_key(user_id)

        def read(generation: Generation) -> Read[tuple[Generation, Chosen] | None]:
            own_key = self._keys.model_user(generation.name, user_id)
            offset, own = yield [("HGET", key, OFFSET_FIELD), ("GET", own_key)]
            chosen = None if wish.include_seen else _own(own, offset, wish)
            if chosen is None and offset is not None:
                chosen = yield from self._folded_in(generation, key, offset, wish)
            if chosen is None:
                chosen = yield from self._popular(generation, key, wish)
            return None if chosen is None else (generation, chosen)

        found = yield from self._generations.within_one(user_id, read)
        if found is None:
            raise GenerationReplacedError
        return found

    def variants(self) -> Read[Collection[str]]:
        """Return the names of the variants that are served, none before the first model."""
        return self._generations.variants()

    def _folded_in(
        self, generation: Generation, key: str, offset: bytes, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose from the live history at `key`; None if nothing comes of it.

        What came of the same history and the same lists the last time comes of them again.
        """
        question = (key, wish)
        known = self._folded.get(question)
        if known is not None and known[:2] == (generation, offset):
            return known[2]
        (flat,) = yield [("HGETALL", key)]
        history = history_of(flat)
        lists = yield from self._lists_of(generation, latest_items(history, FOLDED_IN_ITEMS))
        chosen = from_history(history, lists, wish)
        if not chosen.items:
            return None
        if not wish.excluded:  # which has no bound that would allow to keep many
            self._folded.keep(question, (generation, offset_of(flat), chosen))
        return chosen

    def _popular(self, generation: Generation, key: str, wish: Wish) -> Read[Chosen | None]:
        """Choose from what is popular; None if that list is gone."""
        popular = self._keys.model_popular(generation.name)
        value, flat = yield [("GET", popular), ("HGETALL", key)]
        if value is None:
            return None
        return from_popular(_popular.decode(value), history_of(flat), wish)

    def _lists_of(self, generation: Generation, items: Sequence[int]) -> Read[GenerationLists]:
        """Return the lists, with those of `items` among them.

        Raises:
            ExpiredError: a list is missing, and the generation is served no more: it may have had
                one.
        """
        lists = self._lists.of(generation.name, self._generations.live)
        missing = lists.missing(items)
        if missing:
            keys = [self._keys.model_similar(generation.name, str(item)) for item in missing]
            *values, pointer = yield [*(("GET", key) for key in keys), self._generations.pointer]
            if None in values and not self._generations.is_live(pointer, generation):
                raise ExpiredError
            for item, value in zip(missing, values, strict=True):
                lists.add(item, value)
        return lists

    def _history_key(self, user_id: str) -> Read[str]:
        topology = yield from self._store.topology()
        return self._keys.history(user_partition(user_id, topology.interactions), user_id)


def _own(value: bytes | None, offset: bytes | None, wish: Wish) -> Chosen | None:
    """Choose from the user's own list, if it is there and up to date and has anything."""
    if value is None or offset is None:
        return None
    own = _user.decode(value)
    if own.off != _offset.decode(offset):
        return None
    chosen = from_own_list(own, wish)
    return chosen if chosen.items else None
