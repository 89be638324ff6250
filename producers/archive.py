"""Replays the archive: its rows as the original records, in log order or by event time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal

import numpy as np

from contracts.archive import FEEDBACK_TABLE, INTERACTIONS_TABLE, QUOTES_TABLE, ArchiveTable
from producers.batch import Batch, Record
from producers.feed import MAX_SPEED
from producers.files import FileError
from producers.run import Source
from runtime.archive.catalog import ArchiveError, is_passing
from runtime.archive.config import ArchiveConfig
from runtime.archive.records import Order, Rows, Span, records_of, sorted_rows
from runtime.archive.tables import read_table

Name = Literal["quotes", "interactions", "feedback"]
"""A table that can be replayed."""

_TABLES: Final[Mapping[Name, ArchiveTable]] = {
    "quotes": QUOTES_TABLE,
    "interactions": INTERACTIONS_TABLE,
    "feedback": FEEDBACK_TABLE,
}


@contextmanager
def archive_source(
    name: Name, config: ArchiveConfig, span: tuple[int | None, int | None], speed: float
) -> Iterator[Source]:
    """Return a table as a source: in log order at full speed, else by event time.

    Raises:
        FileError: the table cannot be read.
    """
    table = _TABLES[name]
    try:
        found = read_table(config, table)
        order: Order = "log" if speed == MAX_SPEED else "time"
        with sorted_rows(found, table, Span(*span), order) as (count, rows):
            done = _Done(count)
            yield Source(
                topics=(table.topic.name,),
                batches=(done.batch(table, some) for some in rows),
                speed=speed,
                event_start_ms=None,
                share_done=done.share,
            )
    except ArchiveError as error:
        raise FileError(str(error)) from error
    except Exception as error:
        if not is_passing(error):
            raise
        raise FileError(f"the archive cannot be read: {type(error).__name__}: {error}") from error


class _Done:
    """Progress of publishing the rows."""

    def __init__(self, count: int) -> None:
        self._count = max(count, 1)
        self._taken = 0

    def share(self) -> float:
        """Return it, from 0 to 1."""
        return min(self._taken / self._count, 1.0)

    def batch(self, table: ArchiveTable, rows: Rows) -> Batch:
        """Return rows as records."""
        topic = table.topic.name
        records: list[Record] = [
            (topic, key, value) if value is not None else (topic, key, None, [*headers])
            for key, value, headers in records_of(table, rows)
        ]
        self._taken += len(records)
        return Batch(np.array(rows.columns["ts"], np.int64), records)
