"""Puts the small files of a partition together into great ones, sorted as each of them was.

While a partition gets new files all the time, some are put together only where each of them becomes
part of one that is four times as large at least. So no row is written anew more often than sizes
can grow by 4, and the files that are left are few. Of 288 equal files a day, one every 5 minutes, a
row is written anew 3 times and a reader opens 6 files, 12 at most. (With 2 for 4 it would be 4
times and 4 files, with 8 twice and 9; and 5 times and 16 files if all were put together whenever
they are 32.) Once no new file comes, what is left becomes one.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import structlog
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from archive import metrics
from archive.maintenance.live_files import LiveFile, Partition, live_files
from archive.maintenance.locations import filesystem_of, path_of
from archive.writing import commits
from archive.writing.commits import young
from archive.writing.files import FileWriter
from contracts.archive import ArchiveTable
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import arrow_schema_of

QUIET_S: Final = 3_600.0
"""A partition without a new file for that long is put together as a whole. Whatever comes later has
it written anew, so it is not to be done for each late record."""
GROWTH: Final = 4
"""By how much the largest of the files that are put together has to grow before that."""
_BYTES_A_COMMIT: Final = 512 * 2**20
"""Of files that are replaced: a commit for each partition would be as many snapshots, and the first
of the new files is not to wait for its commit for long."""
_ROWS_AT_ONCE: Final = 2_000_000
"""Sorted in memory, some 300 MB with their copies."""

log = structlog.get_logger(__name__)


class Rule(NamedTuple):
    """Which files are put together."""

    target_bytes: int
    """of the files that are made; those below half of it are small"""
    files_good_for_s: float
    """`archive.settings.Times.files_good_for_s`"""
    is_forced: bool = False
    """whether files are put together however new they are"""


def compact(
    catalog: Catalog, config: ArchiveConfig, table: ArchiveTable, rule: Rule, now_s: float
) -> int:
    """Compact a table; return how many files were put together.

    Args:
        catalog: that has the table.
        config: of the archive.
        table: which one.
        rule: which files are put together.
        now_s: the clock, epoch s.

    Raises:
        TooOldError: it took too long.
    """
    found = commits.loaded(catalog, config, table)
    old: list[DataFile] = []
    new: list[DataFile] = []
    is_young = young(rule.files_good_for_s)
    done = 0
    for partition, files in sorted(live_files(found).items()):
        small = chosen(files, rule, now_s)
        if small:
            new += _merged(found, table, partition, small, rule.target_bytes)
            old += small
        if sum(file.file_size_in_bytes for file in old) >= _BYTES_A_COMMIT:
            done += _commit(catalog, config, table, old, new, is_young)
            old, new, is_young = [], [], young(rule.files_good_for_s)
    return done + (_commit(catalog, config, table, old, new, is_young) if old else 0)


def _commit(
    catalog: Catalog,
    config: ArchiveConfig,
    table: ArchiveTable,
    old: Sequence[DataFile],
    new: Sequence[DataFile],
    is_young: Callable[[], bool],
) -> int:
    try:
        commits.replace(catalog, config, table, old, new, is_young, "compaction")
    except commits.GoneError as why:
        log.info("a compaction came too late: the next round does it", why=str(why))
        return 0
    metrics.COMMITS.labels(table.name, "compaction").inc()
    metrics.FILES_COMPACTED.labels(table.name).inc(len(old))
    log.info("compacted", table=table.name, files=len(old), into=len(new))
    return len(old)


def chosen(files: Sequence[LiveFile], rule: Rule, now_s: float) -> list[DataFile]:
    """Return which of a partition's files are put together; none, or at least two. Pure."""
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
    return [each.file for each in some] if len(some) > 1 else []


def _bytes(each: LiveFile) -> int:
    return each.file.file_size_in_bytes


def _merged(
    found: Table,
    table: ArchiveTable,
    partition: Partition,
    files: Sequence[DataFile],
    target_bytes: int,
) -> Iterator[DataFile]:
    """Yield files with the same rows in the table's order, a range of the first column at a time.

    All ranges together would not fit into memory; the files are sorted, so a range is read from a
    part of each.
    """
    filesystem, column = filesystem_of(found), table.sorted_by[0]
    paths = [path_of(file.file_path) for file in files]
    schema = arrow_schema_of(table)
    rows = ds.dataset(paths, schema=schema, format="parquet", filesystem=filesystem)
    order = [(name, "ascending") for name in table.sorted_by]
    cuts = _cuts(filesystem, paths, column)
    writer: FileWriter | None = None
    for low, high in zip([None, *cuts], [*cuts, None], strict=True):
        part = rows.to_table(filter=_between(column, low, high)).select(schema.names)
        if not part.num_rows:
            continue
        if writer is None:
            writer = FileWriter(found, table, partition)
        writer.write(part.take(pc.sort_indices(part, sort_keys=order)))
        if writer.tell() >= target_bytes:
            yield writer.close()
            writer = None
    if writer is not None:
        yield writer.close()


def _between(column: str, low: Any, high: Any) -> pc.Expression:
    """Return `low <= column < high`; None stands for no bound."""
    bounds = [] if low is None else [pc.field(column) >= low]
    bounds += [] if high is None else [pc.field(column) < high]
    whole: pc.Expression = pc.scalar(True)  # noqa: FBT003 (a literal of pyarrow's)
    for bound in bounds:
        whole &= bound
    return whole


def _cuts(filesystem: Any, paths: Sequence[str], column: str) -> list[Any]:
    """Return values of a column, rising, between which about `_ROWS_AT_ONCE` rows are."""
    begins: list[tuple[Any, int]] = []
    for path in paths:
        with filesystem.open_input_file(path) as stream:
            metadata = pq.read_metadata(stream)
        place = metadata.schema.names.index(column)
        for n in range(metadata.num_row_groups):
            group = metadata.row_group(n)
            begins.append((group.column(place).statistics.min, group.num_rows))
    cuts: list[Any] = []
    rows = 0
    for begin, more in sorted(begins):
        if rows >= _ROWS_AT_ONCE and (not cuts or begin > cuts[-1]):
            cuts.append(begin)
            rows = 0
        rows += more
    return cuts
