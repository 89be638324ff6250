"""The process's copy of the catalog, refreshed in the background.

Each second it reads the positions of the topic's partitions, and reloads the partitions that have
moved (`contracts.keyspace` says why that is enough). Neither Redis nor this process is blocked: a
hash is read and decoded in pages, and the directory is built in steps.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Gauge

from api.generations.listings import NewListings
from api.generations.popular import Ranked
from api.http.filters import Condition, Filter
from api.http.named import N
from api.http.problems import STORE_UNAVAILABLE, Problem
from api.instruments.building import Building
from api.instruments.directory import Directory, Entry
from api.instruments.shown import Boosts, Shown
from api.redis.following import attempt, following
from api.redis.reading import Read
from api.redis.store import Store
from contracts.instruments import CatalogEntry
from contracts.keyspace import INCARNATION_FIELD, LINEAGE_FIELD, NEXT_FIELD
from contracts.topics import INSTRUMENTS

REFRESH_EVERY_S: Final = 1.0
PAGE: Final = 500
"""Entries per page."""

Attributes = Mapping[str, bool | int | float | str]
_NO_ATTRIBUTES: Final[Attributes] = {}
"""Shared by all instruments without any."""

_Position = tuple[bytes | None, ...]
T = TypeVar("T")

_UNKNOWN: Final = "The catalog could not be read from Redis yet: try again in a second"
_log = logging.getLogger(__name__)
_entry = msgspec.json.Decoder(CatalogEntry)


class Catalog:
    """The names and categories of the instruments of one namespace."""

    def __init__(self, store: Store, registry: CollectorRegistry) -> None:
        self._directory = Directory()
        self._is_known = False
        """Whether it was read at all."""
        self.version = 0
        """A different version means a different directory; that of 0 is empty."""
        self._store = store
        self._positions: dict[int, _Position] = {}
        self._partitions: dict[int, Mapping[int, Entry]] = {}
        self._is_stale = False
        """Whether the directory is missing entries."""
        self._categories: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Those in use, so that equal ones are the same object."""
        self._read_at = time.monotonic()
        Gauge(
            "api_catalog_age_seconds", "Since the catalog was last up to date", registry=registry
        ).set_function(lambda: time.monotonic() - self._read_at)
        Gauge(
            "api_catalog_instruments", "Instruments in the catalog", registry=registry
        ).set_function(lambda: len(self._directory))

    @property
    def directory(self) -> Directory:
        """The directory.

        Raises:
            Problem: it could not be read from Redis yet.
        """
        if not self._is_known:
            raise Problem(STORE_UNAVAILABLE, _UNKNOWN)
        return self._directory

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read the catalog if Redis is up, and keep it up to date for the block."""
        await attempt("catalog", self.refresh)
        async with following("catalog", self.refresh, lambda: REFRESH_EVERY_S):
            yield

    def resolve(self, symbol: str) -> int | None:
        """Return the id of the instrument with a symbol, as `Directory.resolve`."""
        return self.directory.resolve(symbol)

    def shown(self, wanted: Filter) -> Shown | None:
        """Return which instruments may be shown, as `Directory.shown`."""
        return self.directory.shown(wanted)

    def boosts(self, asked: frozenset[str]) -> Boosts | None:
        """Return what the scores of instruments are multiplied by, as `Directory.boosts`."""
        return self.directory.boosts(asked)

    def check(self, condition: Condition) -> None:
        """Raise a ValueError if an attribute cannot be compared in this way."""
        self.directory.check(condition)

    def with_names(self, items: Sequence[N], *, names: bool) -> list[N]:
        """Return items of an answer with their symbols, as `Directory.with_names`."""
        return self._directory.with_names(items, names=names)

    def instruments(self) -> Collection[int]:
        """Return the ids of the instruments, none before the catalog was read."""
        return self._directory.by_id.keys()

    def attributes(self, item: int) -> Attributes | None:
        """Return the attributes of an instrument, None if the catalog does not have it."""
        entry = self._directory.by_id.get(item)
        return entry.attributes if entry else None

    def all_attributes(self) -> Iterator[Attributes]:
        """Yield the attributes of each instrument that has any."""
        return (entry.attributes for entry in self._directory.by_id.values() if entry.attributes)

    def categories(self, item: int) -> Collection[str]:
        """Return the categories of an instrument, none if the catalog does not have it."""
        entry = self._directory.by_id.get(item)
        return entry.categories if entry else ()

    def new_listings(self, popular: Ranked) -> NewListings:
        """Return the listed instruments without counts, as `Directory.new_listings`."""
        return self.directory.new_listings(popular)

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
        self._is_known = True
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
        directory = await _run(Directory.build(by_id))
        replaced, self._directory = self._directory, directory
        self.version += 1
        for _ in replaced.clear():
            await asyncio.sleep(0)


async def _run(building: Building[T]) -> T:
    """Build, and let other tasks run between the steps."""
    while True:
        try:
            next(building)
        except StopIteration as built:
            found: T = built.value
            return found
        await asyncio.sleep(0)
