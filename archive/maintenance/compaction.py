"""Merges the small files of a partition into large ones, in the same sort order.

While a partition keeps getting new files, files are merged only if the result is at least four
times as large as each of them. So no row is rewritten more often than sizes can grow by 4, and few
files are left. Of 288 equal files a day, one every 5 minutes, a row is rewritten 3 times and a
reader opens 6 files, 12 at most. (With 2 instead of 4 it would be 4 times and 4 files, with 8 twice
and 9; and 5 times and 16 files if all were merged whenever there are 32.) Once no new files come,
the rest becomes one.
"""

import bisect
import contextlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from archive import metrics
from archive.stored_table import GoneError, IsYoung, StoredTable, young
from archive.writing.files import ROW_GROUP_ROWS, FileWriter
from contracts.archive import ArchiveTable
from runtime.archive.data_files import columns_of, opened, rows_in

QUIET_S: Final = 3_600.0
"""A partition without a new file for that long is merged into one. Each late record after that
rewrites it, so it must not happen too early."""
GROWTH: Final = 4
"""By which factor the largest of the merged files has to grow before that."""
_BYTES_A_COMMIT: Final = 512 * 2**20
"""Of replaced files: a commit for each partition would make as many snapshots, but the first of the
new files must not wait long for its commit."""
_ROWS_AT_ONCE: Final = 1_000_000
"""In memory, of all merged files: some 200 MB with their copies, regardless of the table. Files are
sorted, so the next rows of each are enough."""
FILES_AT_ONCE: Final = 256
"""That are open at once; the next round does the rest."""

log = structlog.get_logger(__name__)


class Rule(NamedTuple):
    """Which files are merged."""

    target_bytes: int
    """of the files that are made; those below half of it are small"""
    files_good_for_s: float
    """`archive.settings.Times.files_good_for_s`"""
    is_forced: bool = False
    """whether files are merged however new they are"""


Partition = tuple[int, ...]
"""As `archive.writing.files.Group` has it."""


class LiveFile(NamedTuple):
    """A file of the current snapshot."""

    file: DataFile
    added_s: float
    """epoch s; 0 if the snapshot that added it has expired: it is old"""


def live_files(found: Table) -> Mapping[Partition, Sequence[LiveFile]]:
    """Return the files of a table's current snapshot, by partition."""
    files = defaultdict(list)
    current = found.current_snapshot()
    for manifest in current.manifests(found.io) if current else ():
        for entry in manifest.fetch_manifest_entry(found.io, discard_deleted=True):
            snapshot = found.snapshot_by_id(entry.snapshot_id) if entry.snapshot_id else None
            added_s = snapshot.timestamp_ms / 1_000 if snapshot else 0.0
            partition = tuple(entry.data_file.partition[n] for n in range(len(found.spec().fields)))
            files[partition].append(LiveFile(entry.data_file, added_s))
    return files


def compact(stored: StoredTable, rule: Rule, now_s: float) -> int:
    """Compact a table; return how many files were merged.

    Args:
        stored: the table.
        rule: which files are merged.
        now_s: the clock, epoch s.

    Raises:
        TooOldError: it took too long.
    """
    found = stored.checked()
    old: list[DataFile] = []
    new: list[DataFile] = []
    is_young = young(rule.files_good_for_s)
    done = 0
    for partition, files in sorted(live_files(found).items()):
        small = chosen(files, rule, now_s)
        if small:
            new += _merged(found, stored.table, partition, small, rule.target_bytes)
            old += small
        if sum(file.file_size_in_bytes for file in old) >= _BYTES_A_COMMIT:
            done += _commit(stored, old, new, is_young)
            old, new, is_young = [], [], young(rule.files_good_for_s)
    return done + (_commit(stored, old, new, is_young) if old else 0)


def _commit(
    stored: StoredTable, old: Sequence[DataFile], new: Sequence[DataFile], is_young: IsYoung
) -> int:
    try:
        stored.replace(old, new, is_young, "compaction")
    except GoneError as why:
        log.info("a compaction came too late: the next round does it", why=str(why))
        return 0
    metrics.COMMITS.labels(stored.name, "compaction").inc()
    metrics.FILES_COMPACTED.labels(stored.name).inc(len(old))
    log.info("compacted", table=stored.name, files=len(old), into=len(new))
    return len(old)


def chosen(files: Sequence[LiveFile], rule: Rule, now_s: float) -> list[DataFile]:
    """Return which of a partition's files to merge; none, or at least two. Pure."""
    some = [each for each in files if _bytes(each) < rule.target_bytes / 2]
    is_quiet = all(now_s - each.added_s > QUIET_S for each in some)
    if not (rule.is_forced or is_quiet):
        some.sort(key=_bytes)
        sums = itertools.accumulate(map(_bytes, some))
        grown = [
            n
            for n, (each, total) in enumerate(zip(some, sums, strict=True), 1)
            if total >= GROWTH * _bytes(each)
        ]
        some = some[: max(grown, default=0)]
    return [each.file for each in some[:FILES_AT_ONCE]] if len(some) > 1 else []


def _bytes(each: LiveFile) -> int:
    return each.file.file_size_in_bytes


def _merged(
    found: Table,
    table: ArchiveTable,
    partition: Partition,
    files: Sequence[DataFile],
    target_bytes: int,
) -> Iterator[DataFile]:
    """Yield files with the same rows in the table's order, of which few are in memory at a time."""
    columns = columns_of(found, table)
    rows_at_once = min(_ROWS_AT_ONCE // len(files), ROW_GROUP_ROWS)
    writer: FileWriter | None = None
    with contextlib.ExitStack() as stack:
        streams = [
            rows_in(stack.enter_context(opened(found, file)), columns, rows_at_once)
            for file in files
        ]
        for rows in in_pieces_of(ROW_GROUP_ROWS, merged(streams, table.sorted_by)):
            if writer is None:
                writer = FileWriter(found, table, partition)
            writer.write(rows)
            if writer.tell() >= target_bytes:
                yield writer.close()
                writer = None
    if writer is not None:
        yield writer.close()


def merged(streams: Sequence[Iterator[pa.Table]], sorted_by: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows of all streams, in order, in pieces of any size.

    Args:
        streams: each in order; if one is not, all of its rows are yielded, but out of place.
        sorted_by: columns without nulls.
    """
    order = [(name, "ascending") for name in sorted_by]
    heads = [_Head(stream, sorted_by) for stream in streams]
    while heads := [head for head in heads if head.fill()]:
        bound = min(head.last for head in heads)
        ready = pa.concat_tables([head.take(bound) for head in heads])
        yield ready.take(pc.sort_indices(ready, sort_keys=order))


def in_pieces_of(rows: int, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Regroup the rows of tables into tables of `rows` rows; the last one has the rest."""
    kept: list[pa.Table] = []
    n = 0
    for table in tables:
        kept.append(table)
        n += table.num_rows
        while n >= rows:
            whole = pa.concat_tables(kept)
            yield whole.slice(0, rows)
            kept, n = [whole.slice(rows)], n - rows
    if n:
        yield pa.concat_tables(kept)


class _Head:
    """The rows of a stream that come next."""

    def __init__(self, stream: Iterator[pa.Table], sorted_by: Sequence[str]) -> None:
        self._stream, self._sorted_by = stream, sorted_by
        self._rows: Any = ()
        """a table, once there is one"""

    def fill(self) -> bool:
        """Have some rows; return False if the stream is at its end."""
        while not len(self._rows):
            found = next(self._stream, None)
            if found is None:
                return False
            self._rows = found
        return True

    @property
    def last(self) -> tuple[Any, ...]:
        """The key of the last one."""
        return self._key(len(self._rows) - 1)

    def take(self, bound: tuple[Any, ...]) -> pa.Table:
        """Return those up to a key, which is included."""
        n = rows = len(self._rows)
        if self.last > bound:
            n = bisect.bisect_right(range(rows), bound, key=self._key)
        taken = self._rows.slice(0, n)
        self._rows = self._rows.slice(n)
        return taken

    def _key(self, row: int) -> tuple[Any, ...]:
        return tuple(self._rows[name][row].as_py() for name in self._sorted_by)
