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
    Generation,
    Recommended,
    StoredBar,
    StoredCurrent,
    StoredEntry,
    StoredFoldIn,
    StoredList,
    StoredSimilar,
)
from contracts.fold_in import SCORE_DECIMALS
from contracts.generations import DEFAULT_VARIANT
from contracts.keyspace import NEWEST_FIELD, OFFSET_FIELD, Keyspace
from contracts.partitioning import instrument_partition, user_partition
from contracts.times import DAY_MS
from runtime.topology import Topology

_MINUTES: Final = 5
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
        self._served = Generation()
        self._fresh_until_s = 0.0

    async def served(self) -> Generation:
        """Return what is served, as of at most a second ago."""
        if time.monotonic() > self._fresh_until_s:
            stored = await self._ask(self._client.get(self._keys.model_current()))
            current = StoredCurrent.model_validate_json(stored)
            self._served = current.variants[DEFAULT_VARIANT]
            self._fresh_until_s = time.monotonic() + _POINTER_FOR_S
        return self._served

    async def generation(self) -> str:
        """Return the name of the generation that is served."""
        return (await self.served()).generation

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

    async def recommendations(self, user_id: str, n: int, excluded: set[str]) -> Chosen:
        """Return the user's own list, or the history folded in, or what is popular."""
        served = await self.served()
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hgetall(self._history_key(user_id))
        pipeline.get(self._keys.model_user(served.generation, user_id))
        fields, own = await pipeline.execute()
        off = fields.pop(OFFSET_FIELD, None)
        if own is not None and off is not None:
            stored = StoredList.model_validate_json(own)
            if stored.off == _offset.validate_json(off):
                return Chosen("model", stored.model, _first(stored, excluded, n))
        history = {item: StoredEntry.model_validate_json(value) for item, value in fields.items()}
        weights = weigh(history, served.fold_in)
        lists = await self._lists(served.generation, [*weights])
        if lists:
            model = next(iter(lists.values())).model
            items = fold_in(weights, lists, excluded | history.keys(), n)
            return Chosen("history", model, items)
        popular = await self._ask(self._client.get(self._keys.model_popular(served.generation)))
        stored = StoredList.model_validate_json(popular)
        return Chosen("popular", stored.model, _first(stored, excluded | history.keys(), n))

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


def weigh(history: History, how: StoredFoldIn) -> dict[str, float]:
    """Return the weight of each of the latest items, by the formula of `contracts.fold_in`."""
    latest = sorted(history, key=lambda item: (-history[item].t, int(item)))[: how.items]
    weights = {item: history[item].r / history[item].s for item in latest}
    if how.half_life_days:
        for item in latest:
            age_days = (history[latest[0]].t - history[item].t) / DAY_MS
            weights[item] *= 0.5 ** (age_days / how.half_life_days)
    if how.half_life_items:
        for position, item in enumerate(latest):
            weights[item] *= 0.5 ** (position / how.half_life_items)
    return weights


def fold_in(
    weights: dict[str, float], lists: Lists, left_out: set[str], n: int
) -> list[Recommended]:
    """Return the n items with the highest weighted mean of scores, above 0."""
    total = sum(weights.values())
    sums: dict[str, float] = defaultdict(float)
    shares: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for item, similar in lists.items():
        for neighbor in similar.items:
            if neighbor.item not in left_out:
                share = weights[item] * neighbor.score
                sums[neighbor.item] += share
                shares[neighbor.item].append((share, item))
    scores = {item: round(value / total, SCORE_DECIMALS) for item, value in sums.items()}
    best = heapq.nsmallest(n, scores, key=lambda item: (-scores[item], int(item)))
    return [
        Recommended(instrument_id=int(item), score=scores[item], because=_strongest(shares[item]))
        for item in best
        if scores[item] > 0
    ]


def _strongest(shares: list[tuple[float, str]]) -> list[int]:
    speaking = [(-share, int(item)) for share, item in shares if share > 0]
    return [item for _, item in sorted(speaking)[:_REASONS]]


def _first(stored: StoredList, left_out: set[str], n: int) -> list[Recommended]:
    """Return the first n items that are not left out."""
    chosen = [one for one in stored.items if one.item not in left_out][:n]
    return [
        Recommended(
            instrument_id=int(one.item),
            score=one.score,
            because=[int(item) for item in one.because],
        )
        for one in chosen
    ]
