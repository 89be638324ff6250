"""The rows of a table in order of the log or of event time, and the records that they were.

DuckDB sorts them and spills to disk, so a table may be larger than the machine's memory.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

import duckdb
import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.expressions.parser import parse
from pyiceberg.table import Table

from contracts.archive import (
    ERASED,
    FEEDBACK_TABLE,
    INTERACTIONS_TABLE,
    PLACE,
    QUOTES_TABLE,
    ArchiveTable,
    Column,
)
from contracts.feedback import Feedback, encode_feedback, feedback_key
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.tombstones import Tombstone, encode_tombstone

Order = Literal["log", "time"]

_MEMORY: Final = "1GB"
_BATCH_ROWS: Final = 10_000
_ORDERS: Final[dict[Order, tuple[str, ...]]] = {"log": (), "time": ("ts",)}
"""What rows are sorted by before their place in the log."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which rows, by event time: `[start_ms, end_ms)`, epoch ms; None: no bound."""

    start_ms: int | None = None
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table, columns of one length n, of Python's own values."""

    columns: dict[str, list[Any]]
    """by their names, those of `ArchiveTable.columns` that the table has; times in epoch ms"""


@contextmanager
def sorted_rows(
    found: Table, table: ArchiveTable, span: Span, order: Order
) -> Iterator[tuple[int, Iterator[Rows]]]:
    """Hand out the rows of a table's current snapshot, and at most how many there are.

    Args:
        found: the table as it is now.
        table: as `contracts.archive` defines it; its event time is `ts`.
        span: which rows.
        order: by log, partition and offset; or by event time before these.
    """
    columns = [c for c in table.columns if not c.is_later or c.name in found.schema().column_names]
    scan = found.scan(_filter(table, span), tuple(column.name for column in columns))
    count = sum(task.file.record_count for task in scan.plan_files())
    with (
        tempfile.TemporaryDirectory(prefix="tickrec-") as folder,
        duckdb.connect(
            config={"memory_limit": _MEMORY, "threads": 1, "temp_directory": folder}
        ) as database,
    ):
        database.register("archived", _without_zones(scan.to_arrow_batch_reader()))
        names = ", ".join(map(_selected, columns))
        by = ", ".join(f'"{name}"' for name in (*_ORDERS[order], *PLACE))
        in_order = database.sql(f"SELECT {names} FROM archived ORDER BY {by}")  # noqa: S608
        batches = in_order.to_arrow_reader(_BATCH_ROWS)
        yield count, (Rows(batch.to_pydict()) for batch in batches)


def _selected(column: Column) -> str:
    if column.type == "timestamptz":  # µs
        return f'"{column.name}" // 1000 AS "{column.name}"'
    return f'"{column.name}"'


def _filter(table: ArchiveTable, span: Span) -> BooleanExpression:
    bounds = [(">=", span.start_ms), ("<", span.end_ms)]
    given = [
        f"{table.day_of} {sign} '{datetime.fromtimestamp(at / 1000, UTC).isoformat()}'"
        for sign, at in bounds
        if at is not None
    ]
    return parse(" and ".join(given)) if given else AlwaysTrue()


def _without_zones(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Return the rows with times as integers: DuckDB would look for the zone's rules."""
    schema = pa.schema(
        pa.field(one.name, pa.int64() if pa.types.is_timestamp(one.type) else one.type)
        for one in rows.schema
    )
    return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in rows))


Fields = Mapping[str, Any]
"""A row's columns but for its place in the log; times in epoch ms; a later one may be null."""


class ArchivedRecord(NamedTuple):
    """A record."""

    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def _quote(fields: Fields) -> ArchivedRecord:
    quote = Quote(**{name: value for name, value in fields.items() if value is not None})
    return ArchivedRecord(key_of(quote), encode(quote))


def _interaction(fields: Fields) -> ArchivedRecord:
    if fields["event"] == ERASED:
        tombstone = Tombstone(fields["user_id"], fields["last_event_before"], fields["erased_at"])
        key, headers = encode_tombstone(tombstone)
        return ArchivedRecord(key, None, headers)
    its = {n: fields[n] for n in Interaction.__struct_fields__ if fields.get(n) is not None}
    event = Interaction(**its)
    return ArchivedRecord(key_of(event), encode(event))


def _feedback(fields: Fields) -> ArchivedRecord:
    feedback = Feedback(**fields)
    return ArchivedRecord(feedback_key(feedback), encode_feedback(feedback))


_RECORD: Final[Mapping[str, Callable[[Fields], ArchivedRecord]]] = {
    QUOTES_TABLE.name: _quote,
    INTERACTIONS_TABLE.name: _interaction,
    FEEDBACK_TABLE.name: _feedback,
}


def records_of(table: ArchiveTable, rows: Rows) -> Iterator[ArchivedRecord]:
    """Yield the record of each row of `quotes`, `interactions` or `feedback`."""
    names = [name for name in rows.columns if name not in PLACE]
    record = _RECORD[table.name]
    for values in zip(*(rows.columns[name] for name in names), strict=True):
        yield record(dict(zip(names, values, strict=True)))
