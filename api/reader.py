"""What answers need of Redis, read through `contracts.keyspace`. Deadlines are `api.store`'s."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import msgspec

from api.bars import Window, minute_bars, minute_field
from api.recommend import (
    FOLDED_IN_ITEMS,
    Chosen,
    Wish,
    from_history,
    from_own_list,
    from_popular,
    history_of,
    latest_items,
    offset_of,
)
from contracts.keyspace import (
    DEFAULT_VARIANT,
    NEWEST_FIELD,
    OFFSET_FIELD,
    BarValue,
    Current,
    HistoryEntry,
    Keyspace,
    PopularList,
    SimilarList,
    UserList,
)
from contracts.partitioning import instrument_partition, user_partition
from runtime.stores import AsyncStore
from runtime.topology import Topology

T = TypeVar("T")

WHOLE_HASH_ABOVE_MINUTES: Final = 1000
"""Above it, reading the whole hash is cheaper: it holds no more minutes than are retained."""

_current = msgspec.json.Decoder(Current)
_similar = msgspec.json.Decoder(SimilarList)
_user = msgspec.json.Decoder(UserList)
_popular = msgspec.json.Decoder(PopularList)


class NoModelYetError(LookupError):
    """No generation is published."""


class GenerationReplacedError(LookupError):
    """Generations were replaced faster than one could be read."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The lists that one answer is made of."""

    variant: str
    name: str


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one namespace of a store whose topology is known."""

    client: AsyncStore
    keys: Keyspace
    topology: Topology

    async def bars(self, instrument_id: int, window: Window) -> list[tuple[int, BarValue]] | None:
        """Return the minute bars of a window, oldest first; None if the instrument is unknown."""
        key = self.keys.bars(
            instrument_partition(instrument_id, self.topology.quotes), instrument_id
        )
        minutes = window.minutes()
        stored: dict[str, str | None]
        if len(minutes) > WHOLE_HASH_ABOVE_MINUTES:
            stored = await _answer(self.client.hgetall(key))
        else:
            fields = [NEWEST_FIELD, *map(minute_field, minutes)]
            values = await _answer(self.client.hmget(key, fields))
            stored = dict(zip(fields, values, strict=True))
        return minute_bars(window, stored) if stored.get(NEWEST_FIELD) else None

    async def history(self, user_id: str) -> dict[str, HistoryEntry]:
        """Return what a user has: empty for an unknown one."""
        return history_of(await _answer(self.client.hgetall(self._history_key(user_id))))

    async def similar(self, instrument_id: int) -> tuple[Generation, SimilarList] | None:
        """Return the neighbors of an instrument, and the generation; None if it has no list.

        Raises:
            NoModelYetError, GenerationReplacedError: no list can be read.
        """

        async def read(generation: Generation) -> tuple[Generation, SimilarList] | None:
            key = self.keys.model_similar(generation.name, str(instrument_id))
            value = await _answer(self.client.get(key))
            return None if value is None else (generation, _similar.decode(value))

        return await self._within_one_generation(read)

    async def recommendations(self, user_id: str, wish: Wish) -> tuple[Generation, Chosen]:
        """Return what is recommended to a user, and the generation.

        The first that has anything: the user's own list if it was made from what the user has now,
        the latest of that folded into the items' lists, what is popular. The own list leaves out
        what the user has, so it cannot answer a wish to include that.

        Raises:
            NoModelYetError, GenerationReplacedError: no list can be read.
        """

        async def read(generation: Generation) -> tuple[Generation, Chosen] | None:
            chosen = None if wish.include_seen else await self._own(generation, user_id, wish)
            chosen = chosen or await self._folded_in_or_popular(generation, user_id, wish)
            return None if chosen is None else (generation, chosen)

        found = await self._within_one_generation(read)
        if found is None:
            raise GenerationReplacedError
        return found

    async def _own(self, generation: Generation, user_id: str, wish: Wish) -> Chosen | None:
        """Choose from the user's own list, if it is there and up to date and has anything."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hget(self._history_key(user_id), OFFSET_FIELD)
        pipeline.get(self.keys.model_user(generation.name, user_id))
        off, value = await _answer(pipeline.execute())
        if off is None or value is None:
            return None
        own = _user.decode(value)
        if own.off != offset_of({OFFSET_FIELD: off}):
            return None
        chosen = from_own_list(own, wish)
        return chosen if chosen.items else None

    async def _folded_in_or_popular(
        self, generation: Generation, user_id: str, wish: Wish
    ) -> Chosen | None:
        """Choose from the live history, or from what is popular; None if the latter is gone."""
        history = await self.history(user_id)
        if history:
            lists = await self._similar_lists(generation, latest_items(history, FOLDED_IN_ITEMS))
            chosen = from_history(history, lists, wish)
            if chosen.items:
                return chosen
        value = await _answer(self.client.get(self.keys.model_popular(generation.name)))
        return None if value is None else from_popular(_popular.decode(value), history, wish)

    async def _similar_lists(
        self, generation: Generation, items: Sequence[str]
    ) -> dict[str, SimilarList]:
        """Return the lists of those items that have one, in one round trip."""
        pipeline = self.client.pipeline(transaction=False)
        for item in items:
            pipeline.get(self.keys.model_similar(generation.name, item))
        values = await _answer(pipeline.execute())
        found = zip(items, values, strict=True)
        return {item: _similar.decode(value) for item, value in found if value is not None}

    async def _within_one_generation(
        self, read: Callable[[Generation], Awaitable[T | None]]
    ) -> T | None:
        """Return what `read` finds in the generation that is served, None if it has nothing.

        Finding nothing may also mean that the generation expired under the reader: if the pointer
        has moved meanwhile, the new one is read, once.
        """
        generation = await self._served()
        for _ in range(2):
            found = await read(generation)
            if found is not None:
                return found
            latest = await self._served()
            if latest.name == generation.name:
                return None
            generation = latest
        raise GenerationReplacedError

    async def _served(self) -> Generation:
        value = await _answer(self.client.get(self.keys.model_current()))
        served = _current.decode(value).variants.get(DEFAULT_VARIANT) if value else None
        if served is None:
            raise NoModelYetError
        return Generation(DEFAULT_VARIANT, served.generation)

    def _history_key(self, user_id: str) -> str:
        return self.keys.history(user_partition(user_id, self.topology.interactions), user_id)


async def _answer(command: object) -> Any:
    """Await a command: redis-py's annotations are those of its blocking client as well."""
    return await cast("Awaitable[Any]", command)
