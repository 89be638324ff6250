"""What the baseline reads: one round trip where one is enough, and pydantic to parse it.

Two things make it faster than a first draft would be: the pointer to what is served is read once a
second, not for each answer, and a user's lists come by one MGET.
"""

import heapq
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter
from redis.asyncio import Redis

from benchmarks.naive.answers import (
    Recommended,
    StoredBar,
    StoredCurrent,
    StoredEntry,
    StoredList,
    StoredSimilar,
)
from contracts.keyspace import DEFAULT_VARIANT, NEWEST_FIELD, OFFSET_FIELD, Keyspace
from contracts.partitioning import instrument_partition, user_partition
from runtime.topology import Topology

_MINUTES: Final = 5
_FOLDED_IN: Final = 50
_REASONS: Final = 3
_POINTER_FOR_S: Final = 1.0
_offset: Final = TypeAdapter(tuple[int, int])

History = dict[str, StoredEntry]
Lists = dict[str, StoredSimilar]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Recommendations, and where they come from."""

    source: str
    model: str
    items: list[Recommended]


class Reader:
    """Reads one namespace."""

    def __init__(self, client: Redis, keys: Keyspace, topology: Topology) -> None:
        self._client = client
        self._keys = keys
        self._topology = topology
        self._generation = ""
        self._fresh_until_s = 0.0

    async def generation(self) -> str:
        """Return the generation that is served, as of at most a second ago."""
        if time.monotonic() > self._fresh_until_s:
            stored = await self._ask(self._client.get(self._keys.model_current()))
            current = StoredCurrent.model_validate_json(stored)
            self._generation = current.variants[DEFAULT_VARIANT].generation
            self._fresh_until_s = time.monotonic() + _POINTER_FOR_S
        return self._generation

    async def bars(self, instrument_id: int) -> list[tuple[int, StoredBar]] | None:
        """Return the bars of the last five minutes by their start, s; None if it is unknown."""
        partition = instrument_partition(instrument_id, self._topology.quotes)
        last = int(time.time()) // 60 * 60
        minutes = [last - 60 * back for back in reversed(range(_MINUTES))]
        newest, *values = await self._ask(
            self._client.hmget(
                self._keys.bars(partition, instrument_id),
                [NEWEST_FIELD, *(str(minute) for minute in minutes)],
            )
        )
        if newest is None:
            return None
        found = zip(minutes, values, strict=True)
        return [(minute, StoredBar.model_validate_json(value)) for minute, value in found if value]

    async def similar(self, instrument_id: int) -> StoredSimilar | None:
        """Return the neighbors of an instrument, None if it has none."""
        key = self._keys.model_similar(await self.generation(), str(instrument_id))
        value = await self._ask(self._client.get(key))
        return None if value is None else StoredSimilar.model_validate_json(value)

    async def own_list(self, user_id: str) -> str | None:
        """Return a user's own list as it is stored: a plain GET of one key."""
        key = self._keys.model_user(await self.generation(), user_id)
        value: str | None = await self._ask(self._client.get(key))
        return value

    async def recommendations(self, user_id: str, n: int) -> Chosen:
        """Return the user's own list, or the history folded in, or what is popular."""
        generation = await self.generation()
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hgetall(self._history_key(user_id))
        pipeline.get(self._keys.model_user(generation, user_id))
        fields, own = await pipeline.execute()
        off = fields.pop(OFFSET_FIELD, None)
        if own is not None and off is not None:
            stored = StoredList.model_validate_json(own)
            if stored.off == _offset.validate_json(off):
                return Chosen("model", stored.model, _first(stored, {}, n))
        history = {item: StoredEntry.model_validate_json(value) for item, value in fields.items()}
        latest = sorted(history, key=lambda item: (-history[item].t, int(item)))[:_FOLDED_IN]
        lists = await self._lists(generation, latest)
        if lists:
            model = next(iter(lists.values())).model
            total = sum(history[item].r for item in latest)
            return Chosen("history", model, fold_in(history, lists, total, n))
        popular = await self._ask(self._client.get(self._keys.model_popular(generation)))
        stored = StoredList.model_validate_json(popular)
        return Chosen("popular", stored.model, _first(stored, history, n))

    async def _lists(self, generation: str, items: list[str]) -> Lists:
        if not items:
            return {}
        keys = [self._keys.model_similar(generation, item) for item in items]
        values = await self._ask(self._client.mget(keys))
        found = zip(items, values, strict=True)
        return {item: StoredSimilar.model_validate_json(value) for item, value in found if value}

    def _history_key(self, user_id: str) -> str:
        return self._keys.history(user_partition(user_id, self._topology.interactions), user_id)

    async def _ask(self, command: Any) -> Any:
        """Await a command: redis-py says neither that it can be awaited nor that it is text."""
        return await command


def fold_in(history: History, lists: Lists, total: float, n: int) -> list[Recommended]:
    """Return the n items with the highest mean similarity, weighted by affinities of that total."""
    scores: dict[str, float] = defaultdict(float)
    shares: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for item, similar in lists.items():
        affinity = history[item].r
        for neighbor in similar.items:
            if neighbor.item not in history:
                share = affinity * neighbor.score
                scores[neighbor.item] += share
                shares[neighbor.item].append((share, item))
    best = heapq.nsmallest(n, scores, key=lambda item: (-scores[item], int(item)))
    return [
        Recommended(
            instrument_id=int(item), score=scores[item] / total, because=_strongest(shares[item])
        )
        for item in best
    ]


def _strongest(shares: list[tuple[float, str]]) -> list[int]:
    return [int(item) for _, item in sorted(shares, key=lambda s: (-s[0], int(s[1])))[:_REASONS]]


def _first(stored: StoredList, seen: History, n: int) -> list[Recommended]:
    """Return the first n items that the user does not have."""
    chosen = [one for one in stored.items if one.item not in seen][:n]
    return [
        Recommended(
            instrument_id=int(one.item),
            score=one.score,
            because=[int(item) for item in one.because],
        )
        for one in chosen
    ]
