"""Merges the small files of a partition into large ones, in the same sort order.

While a partition keeps getting new files, files are merged only if the result is at least four
times as large as each of them. So no row is rewritten more often than sizes can grow by 4, and few
files are left. Of 288 equal files a day, one every 5 minutes, a row is rewritten 3 times and a
reader opens 6 files, 12 at most. (With 2 instead of 4 it would be 4 times and 4 files, with 8 twice
and 9; and 5 times and 16 files if all were merged whenever there are 32.) Once no new files come,
the rest becomes one.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import structlog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from archive import metrics
from archive.maintenance.live_files import LiveFile, Partition, live_files
from archive.maintenance.merging import in_pieces_of, merged
from archive.stored_table import GoneError, IsYoung, StoredTable, young
from archive.writing.files import ROW_GROUP_ROWS, FileWriter
from contracts.archive import ArchiveTable
from runtime.archive.file_rows import columns_of, opened, rows_in

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
