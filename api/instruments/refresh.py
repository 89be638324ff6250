"""The process's copy of the catalog, refreshed in the background.

It reads the positions of the topic's partitions, and reloads the partitions that have moved
(`contracts.keyspace` says why that is enough). Neither Redis nor this process is blocked: a hash is
read and decoded in pages, and the index is built in steps.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Gauge

from api.instruments.catalog import Catalog
from api.instruments.index import Entry, Value
from api.redis.following import attempt, following
from api.redis.reading import Read
from api.redis.store import Store
from contracts.instruments import CatalogEntry
from contracts.keyspace import INCARNATION_FIELD, LINEAGE_FIELD, NEXT_FIELD
from contracts.topics import INSTRUMENTS

PAGE: Final = 500
"""Entries per page."""

_NO_ATTRIBUTES: Final[Mapping[str, Value]] = {}
"""Shared by all instruments without any."""

_Position = tuple[bytes | None, ...]

_log = logging.getLogger(__name__)
_entry = msgspec.json.Decoder(CatalogEntry)


class CatalogRefresh:
    """Keeps the catalog of one namespace up to date."""

    def __init__(
        self, store: Store, catalog: Catalog, registry: CollectorRegistry, every_s: float
    ) -> None:
        self._every_s = every_s
        self._catalog = catalog
        self._store = store
        self._positions: dict[int, _Position] = {}
        self._partitions: dict[int, Mapping[int, Entry]] = {}
        self._is_stale = False
        """Whether the catalog is missing entries."""
        self._categories: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Those in use, so that equal ones are the same object."""
        self._read_at = time.monotonic()
        Gauge(
            "api_catalog_age_seconds", "Since the catalog was last up to date", registry=registry
        ).set_function(lambda: time.monotonic() - self._read_at)
        Gauge(
            "api_catalog_instruments", "Instruments in the catalog", registry=registry
        ).set_function(lambda: len(catalog))

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read the catalog if Redis is up, and keep it up to date for the block."""
        await attempt("catalog", self.refresh)
        async with following("catalog", self.refresh, lambda: self._every_s):
            yield

    async def refresh(self) -> None:
        """Read the changes.

        Raises:
            StoreUnavailableError, ErrorAnswer, TopologyError: it cannot be read at present.
        """
        positions = await self._store.answer(self._read_positions())
        for partition, position in positions.items():
            if self._positions.get(partition) != position:
                await self._read_partition(partition)
                self._positions[partition] = position
        if self._is_stale:
            await self._build()
            self._is_stale = False
        self._catalog.is_known = True
        self._read_at = time.monotonic()

    def _read_positions(self) -> Read[dict[int, _Position]]:
        topology = yield from self._store.topology()
        key = self._store.keys.position
        fields = (LINEAGE_FIELD, INCARNATION_FIELD, NEXT_FIELD)
        partitions = range(topology.instruments)
        found = yield [("HMGET", key(INSTRUMENTS, p), *fields) for p in partitions]
        return dict(zip(partitions, map(tuple, found), strict=True))

    async def _read_partition(self, partition: int) -> None:
        known = self._partitions.get(partition, {})
        entries: dict[int, Entry] = {}
        cursor, begun = b"0", False
        while not begun or cursor != b"0":
            begun = True
            cursor, values = await self._store.answer(self._read_page(partition, cursor))
            for value in values:
                self._take(value, known, entries)
            await asyncio.sleep(0)
        if entries != known:
            self._partitions[partition] = entries
            self._is_stale = True

    def _read_page(self, partition: int, cursor: bytes) -> Read[tuple[bytes, list[bytes]]]:
        key = self._store.keys.catalog(partition)
        ((following, flat),) = yield [("HSCAN", key, cursor, "COUNT", PAGE)]
        return following, flat[1::2]

    def _take(self, value: bytes, known: Mapping[int, Entry], entries: dict[int, Entry]) -> None:
        """Add an entry; an unchanged one stays the same object."""
        try:
            read = _entry.decode(value)
        except msgspec.DecodeError as error:  # written by something else
            _log.error("a catalog entry is skipped: %s: %.200r", error, value)
            return
        found = Entry(
            read.instrument_id,
            read.symbol,
            read.name,
            self._categories.setdefault(read.categories, read.categories),
            read.listed,
            read.attributes or _NO_ATTRIBUTES,
        )
        before = known.get(found.instrument_id)
        entries[found.instrument_id] = before if before == found and before else found

    async def _build(self) -> None:
        by_id: dict[int, Entry] = {}
        for entries in self._partitions.values():
            by_id.update(entries)
            await asyncio.sleep(0)
        for _ in self._catalog.replace(by_id):
            await asyncio.sleep(0)  # other tasks run between the steps
