"""The items with the most events in each window, recounted every few seconds.

A bucket is read again when one of its pages has another offset, however old its events are. Buckets
are read in small parts and ranked in a thread, so that no request waits for it.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import islice
from typing import Final

from api.generations.request_ids import RequestIds, Signer
from api.http.filters import Filter
from api.http.reply import NOW, Reply, ReplyCache, reply
from api.instruments.catalog import Catalog
from api.recommendations.answers import Trending, TrendingItem
from api.recommendations.event_counts import (
    NONE,
    Counts,
    Ranked,
    Rankings,
    counts_of,
    latest,
    ranked,
    summed,
)
from api.redis.following import following
from api.redis.reading import Read
from api.redis.store import Store
from contracts.feedback import NO_VARIANT
from contracts.keyspace import OFFSET_FIELD
from contracts.trending import PAGES, TRENDING_WINDOWS, Bucket, TrendingWindow, buckets_of

REFRESH_EVERY_S: Final = 5.0
_COUNTS_AT_ONCE: Final = 150
"""Per page of a partition: they take Redis or this process less than a millisecond."""

Marks = list[dict[str, bytes]]
"""Of a bucket, by partition: key of a page that has counts -> its offset."""


class TrendingItems:
    """Knows which items have the most events in each window."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        request_ids: RequestIds,
        now_ms: Callable[[], int],
    ) -> None:
        """Start without any counts; `request_ids` signs the ids of answers."""
        self._store = store
        self._catalog = catalog
        self._request_ids = request_ids
        self._now_ms = now_ms
        self._replies = {window: ReplyCache() for window in TRENDING_WINDOWS}
        self._counts: dict[Bucket, tuple[Marks, Counts]] = {}
        """bucket -> what it had when it was read, and at least the events until then"""
        self._rankings: Rankings = dict.fromkeys(TRENDING_WINDOWS, Ranked())

    def trending(
        self,
        window: TrendingWindow,
        n: int,
        offset: int,
        *,
        names: bool,
        **filters: frozenset[str],
    ) -> Read[Reply]:
        """Answer with the items that had the most events."""
        known, wanted = self._rankings[window], Filter(**filters)
        # Counting has read its key, so everything is in memory.
        signer = None if known.as_of_ms is None else (yield from self._request_ids.signer())

        def make() -> Reply:
            named = self._catalog.page(known.items, wanted, n, offset, names=names)
            request_id = None if signer is None else _request_id(signer, window, known, named)
            return reply(Trending(request_id, window, known.start_ms, known.as_of_ms, named), NOW)

        asked = n, offset, wanted, names
        return self._replies[window].of((known, self._catalog.version, signer), asked, make)

    def following(self) -> AbstractAsyncContextManager[None]:
        """Keep up with the events for the block."""
        return following("trending", self.refresh, lambda: REFRESH_EVERY_S)

    async def refresh(self) -> None:
        """Count the events of the windows that end now.

        Raises:
            StoreUnavailableError, ErrorAnswer, TopologyError: they cannot be read at present.
        """
        now_ms = self._now_ms()
        await self._store.answer(self._request_ids.signer())
        windows = {window: buckets_of(window, now_ms // 1000) for window in TRENDING_WINDOWS}
        needed = {bucket for buckets in windows.values() for bucket in buckets}
        known = {bucket: of for bucket, of in self._counts.items() if bucket in needed}
        self._counts = known  # buckets read before Redis goes down need not be read again
        for bucket, marks in (await self._marks(needed)).items():
            if bucket not in known or known[bucket][0] != marks:
                counts = [await self._scan(pages) for pages in marks]
                known[bucket] = marks, await asyncio.to_thread(_added_up, counts)
        counts_of_all = {bucket: counts for bucket, (_, counts) in known.items()}
        self._rankings = await asyncio.to_thread(_all_ranked, windows, counts_of_all, now_ms)

    async def _marks(self, buckets: Collection[Bucket]) -> dict[Bucket, Marks]:
        """Return what each bucket has: often there are few pages."""
        topology = await self._store.answer(self._store.topology())
        key = self._store.keys.trending
        found: dict[Bucket, Marks] = {bucket: [] for bucket in buckets}
        for partition in range(topology.interactions):
            keys = [key(partition, *bucket, page) for bucket in buckets for page in range(PAGES)]
            offsets = iter(zip(keys, await self._store.answer(_offsets(keys)), strict=True))
            for bucket in buckets:
                if pages := {page: at for page, at in islice(offsets, PAGES) if at is not None}:
                    found[bucket].append(pages)
        return found

    async def _scan(self, keys: Iterable[str]) -> list[Counts]:
        """Read pages, some counts of each at a time; counts that change may be returned twice."""
        steps: list[Counts] = []
        cursors = dict.fromkeys(keys, b"0")
        while cursors:
            answers = await self._store.answer(_scan_on(cursors))
            steps.append(counts_of(page for _, page in answers))
            went = zip(cursors, answers, strict=True)
            cursors = {key: cursor for key, (cursor, _) in went if cursor != b"0"}
        return steps


def _request_id(
    signer: Signer, window: TrendingWindow, known: Ranked, page: Sequence[TrendingItem]
) -> str:
    """Return the id of an answer: counts take the place of a generation."""
    items = [item.instrument_id for item in page]
    return signer.kept(NO_VARIANT, f"{window}-{known.as_of_ms}", "trending", items)


def _offsets(keys: Sequence[str]) -> Read[Sequence[bytes | None]]:
    return (yield [("HGET", key, OFFSET_FIELD) for key in keys])


def _scan_on(cursors: Mapping[str, bytes]) -> Read[Sequence[tuple[bytes, list[bytes]]]]:
    return (yield [("HSCAN", key, at, "COUNT", _COUNTS_AT_ONCE) for key, at in cursors.items()])


def _added_up(partitions: Sequence[Sequence[Counts]]) -> Counts:
    return summed([latest(steps) for steps in partitions]) if partitions else NONE


def _all_ranked(
    windows: Mapping[TrendingWindow, Sequence[Bucket]], counts: Mapping[Bucket, Counts], now_ms: int
) -> Rankings:
    return {
        window: Ranked(
            1000 * buckets[0].start_s, now_ms, ranked([counts[bucket] for bucket in buckets])
        )
        for window, buckets in windows.items()
    }
