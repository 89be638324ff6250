"""The writer of one table: what was read, and the attempts to commit it."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import pyarrow as pa
import structlog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from archive import metrics
from archive.stored_table import IsYoung, StoredTable, young
from archive.writing.buffer import Buffer, Taken
from archive.writing.files import FILES_MOST, rows_that_fit, write
from contracts.archive import PLACE
from runtime.archive.catalog import is_passing
from runtime.archive.positions import MovedOnError
from runtime.archive.tables import arrow_schema_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Written:
    """Files in no snapshot yet."""

    taken: Taken
    files: Collection[DataFile]
    is_young: IsYoung


class TableWriter:
    """Gathers rows of a table, and commits them."""

    def __init__(
        self,
        stored: StoredTable,
        files_good_for_s: float,
        clock_s: Callable[[], float] = time.time,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the table, and for how long, by the clock, a file may wait for a commit.

        `beat` is called after each file that is written.
        """
        self.stored, self.table = stored, stored.table
        self.buffer = Buffer(arrow_schema_of(self.table))
        self._files_good_for_s, self._clock_s, self._beat = files_good_for_s, clock_s, beat
        self._written: _Written | None = None
        self._since_s: float | None = None

    def is_due(self, interval_s: float) -> bool:
        """Whether what was read first has waited for that long."""
        if self.buffer.is_empty:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = time.monotonic()
        return self._since_s is not None and time.monotonic() - self._since_s >= interval_s

    def commit(self) -> frozenset[int]:
        """Commit what was read; return the partitions whose rows the table already has.

        Those must resume from the table. What else was read of the others is kept. So is what
        would need too many files (`rows_that_fit`): that is due at once.

        Raises:
            ArchiveError: the table has unexpected columns or partitions.
            CommitFailedException: other commits came first each time.
            Exception: as `runtime.archive.catalog.is_passing` knows it; nothing is lost then.
        """
        taken = self.buffer.take()
        if not taken.moved:
            return frozenset()
        fitting = rows_that_fit(self.table, taken.rows, FILES_MOST)
        if fitting:
            taken = self.buffer.take(fitting)
        started_s = time.monotonic()
        try:
            written = self._files(taken)
            self.stored.append(written.files, taken.moved, written.is_young)
        except MovedOnError as elsewhere:
            metrics.REFUSED.labels(self.table.name).inc()
            log.warning("a commit is refused", table=self.table.name, why=str(elsewhere))
            for partition in elsewhere.partitions:
                self.buffer.drop(partition)
            return frozenset(elsewhere.partitions)
        except Exception:
            metrics.FAILED.labels(self.table.name).inc()
            raise
        self.buffer.committed(taken)
        self._written = None
        self._since_s = self._since_s if fitting else None
        self._record_commit(written.files, time.monotonic() - started_s)
        return frozenset()

    def commit_all(self) -> frozenset[int]:
        """Commit all of what was read; return as `commit`, and raise as it does."""
        elsewhere: set[int] = set()
        while not self.buffer.is_empty:
            elsewhere |= self.commit()
        return frozenset(elsewhere)

    def _files(self, taken: Taken) -> _Written:
        """Return files with the rows, those of an earlier attempt if they are young enough.

        Older uncommitted ones may be deleted at any moment.
        """
        written = self._written
        if written is None or written.taken.moved != taken.moved or not written.is_young():
            is_young = young(self._files_good_for_s, self._clock_s)
            files = self._write(self.stored.checked(), taken.rows)
            self._written = written = _Written(taken, files, is_young)
        return written

    def _write(self, found: Table, rows: pa.Table) -> list[DataFile]:
        """Return files with the rows, except those that cannot be written: these are rejected.

        Raises:
            Exception: as `is_passing` knows it, or nothing can be written.
        """
        try:
            return write(found, self.table, rows, self._beat)
        except Exception as error:
            if is_passing(error):
                raise
            if rows.num_rows == 1:
                # It is not the row's fault if no row can be written.
                zeros = [pa.array([0]).cast(field.type) for field in rows.schema]
                write(found, self.table, pa.table(zeros, schema=rows.schema))
                metrics.REJECTED.labels(self.table.name).inc()
                place = {name: rows[name][0].as_py() for name in PLACE}
                log.exception("a row is rejected", table=self.table.name, **place)
                return []
        half = rows.num_rows // 2
        return self._write(found, rows.slice(0, half)) + self._write(found, rows.slice(half))

    def _record_commit(self, files: Collection[DataFile], seconds: float) -> None:
        name, rows = self.table.name, sum(file.record_count for file in files)
        metrics.ROWS.labels(name).inc(rows)
        metrics.COMMITS.labels(name, "append").inc()
        metrics.COMMIT_SECONDS.labels(name).observe(seconds)
        metrics.COMMITTED_TIMESTAMP.labels(name).set_to_current_time()
        log.info("committed", table=name, rows=rows, files=len(files), seconds=round(seconds, 3))
