"""Finds the files of the table `bars` that have an instrument's minutes of a day.

A snapshot's manifests are immutable files, so each is read once; the list of those that make up the
table is refreshed when it is a few seconds old.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from pyiceberg.conversions import from_bytes
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.table import Table
from pyiceberg.transforms import BucketTransform
from pyiceberg.types import LongType

from contracts.archive import BARS_TABLE, BUCKETS
from runtime.archive.catalog import ArchiveError
from runtime.archive.tables import check_table

_FRESH_S: Final = 5.0
_DAY: Final = 0
_BUCKET: Final = 1
"""Their positions in a partition, as `runtime.archive.tables` defines it."""
_COLUMNS: Final = [column.name for column in BARS_TABLE.columns]
_INSTRUMENT: Final = _COLUMNS.index("instrument_id") + 1
_MINUTE: Final = _COLUMNS.index("minute") + 1
"""Field ids."""

_bucket: Final[Any] = BucketTransform(BUCKETS).transform(LongType())


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of rows, and the inclusive bounds of these."""

    path: str
    day: int
    bucket: int
    instruments: tuple[int, int]
    minutes_ms: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a table at one point in time."""

    io: FileIO
    files: Mapping[int, Mapping[int, list[StoredFile]]]
    """by bucket and day since the epoch"""
    newest_ms: int | None
    """start of the newest minute in the table; None if there is none"""

    def days(self, instrument_id: int, first: int, end: int) -> list[int]:
        """Return the days in `[first, end)` that may have the instrument, in order."""
        its = self.files.get(_bucket(instrument_id), {})
        return sorted(day for day in its if first <= day < end)

    def of(self, instrument_id: int, day: int, first_ms: int, end_ms: int) -> list[StoredFile]:
        """Return the files that may have minutes of an instrument, of a day, in a range."""
        return [
            one
            for one in self.files.get(_bucket(instrument_id), {}).get(day, ())
            if one.instruments[0] <= instrument_id <= one.instruments[1]
            and one.minutes_ms[0] < end_ms
            and one.minutes_ms[1] >= first_ms
        ]


@dataclass(slots=True)
class _Known:
    listing: Listing
    snapshot_id: int | None
    at_s: float


@dataclass(slots=True)
class Files:
    """Follows the table."""

    load: Callable[[], Table | None]
    """reads the table's metadata; None if there is no table"""
    clock: Callable[[], float]
    """a clock in seconds"""
    _known: _Known | None = None
    _manifests: dict[str, list[StoredFile]] = field(default_factory=dict)

    def listing(self, *, refresh: bool = False) -> Listing:
        """Return the files as of a few seconds ago at most; with `refresh`, as of now.

        Raises:
            ArchiveError: there is no table, or it is not valid.
            Exception: the catalog or the files do not answer.
        """
        known = self._known
        if known is None or refresh or self.clock() > known.at_s + _FRESH_S:
            self._known = known = self._read()
        return known.listing

    def _read(self) -> _Known:
        at_s, table = self.clock(), self.load()
        if table is None:
            raise ArchiveError(
                f"the archive has no table {BARS_TABLE.name}: `python -m archive run` makes it"
            )
        check_table(table, BARS_TABLE)
        snapshot = table.current_snapshot()
        number = snapshot.snapshot_id if snapshot else None
        if self._known is not None and self._known.snapshot_id == number:
            return _Known(self._known.listing, number, at_s)
        manifests = snapshot.manifests(table.io) if snapshot else []
        self._manifests = {
            one.manifest_path: self._manifests.get(one.manifest_path) or list(_entries(one, table))
            for one in manifests
        }
        return _Known(_listing(table.io, list(self._manifests.values())), number, at_s)


def _listing(io: FileIO, manifests: Collection[list[StoredFile]]) -> Listing:
    files: dict[int, dict[int, list[StoredFile]]] = {}
    for one in chain.from_iterable(manifests):
        files.setdefault(one.bucket, {}).setdefault(one.day, []).append(one)
    newest_ms = max((one.minutes_ms[1] for one in chain.from_iterable(manifests)), default=None)
    return Listing(io, files, newest_ms)


def _entries(manifest: ManifestFile, table: Table) -> Iterator[StoredFile]:
    """Yield the files that a manifest names.

    Raises:
        ArchiveError: it deletes rows from files, which none of our programs does.
    """
    if manifest.content != ManifestContent.DATA:
        raise ArchiveError(
            f"table {BARS_TABLE.name} has delete files, which are not supported: have the "
            "engine that wrote them rewrite the data files (`write.delete.mode=copy-on-write`)"
        )
    for entry in manifest.fetch_manifest_entry(table.io):
        one = entry.data_file
        first_us, last_us = _bounds(one, table, _MINUTE)
        yield StoredFile(
            one.file_path,
            one.partition[_DAY],
            one.partition[_BUCKET],
            _bounds(one, table, _INSTRUMENT),
            (first_us // 1000, last_us // 1000),
        )


def _bounds(one: DataFile, table: Table, field_id: int) -> tuple[Any, Any]:
    """Return the smallest and the largest value of a column.

    Raises:
        ArchiveError: the file was written without them.
    """
    kind: Any = table.schema().find_field(field_id).field_type
    try:
        low, high = one.lower_bounds[field_id], one.upper_bounds[field_id]
    except KeyError:
        raise ArchiveError(
            f"{one.file_path} has no bounds of column {field_id}: write it with metrics"
        ) from None
    return from_bytes(kind, low), from_bytes(kind, high)
