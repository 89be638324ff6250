"""The archive's tables: name, columns, partitions and order of rows, as data.

`python -m archive` writes them with Apache Iceberg, a table a topic. Whoever reads them, by our
programs or another engine, finds here what a row is. Column types are Iceberg's words.

Every row bears its place in the log: `log`, `partition` and `offset` are those of the record that
it was. No two rows of a table have the same place.
"""

from dataclasses import dataclass
from typing import Final, Literal

from contracts.topics import BARS, FEEDBACK, INTERACTIONS, QUOTES, Topic

ColumnType = Literal["int", "long", "double", "string", "timestamptz"]
"""`timestamptz` is µs since the epoch, UTC."""

BUCKETS: Final = 16
"""Into which the instruments of a day are divided by Iceberg's hash of the id."""
ERASED: Final = "erased"
"""The `event` of a row of `interactions` that was a tombstone: the user was taken out there."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    type: ColumnType
    is_required: bool = True
    is_added: bool = False
    """whether it came after the first tables were made: they get it when they are next written, and
    it is null in files from before"""


@dataclass(frozen=True, slots=True)
class ArchiveTable:
    """A table as its writer and its readers agree on it."""

    name: str
    topic: Topic
    columns: tuple[Column, ...]
    """in Iceberg, the field id of a column is its place here, from 1; of one that was added to a
    table it may be another"""
    day_of: str
    """the event time by whose day, UTC, rows are partitioned"""
    bucket_of: str | None
    """the column by whose hash the rows of a day are divided into `BUCKETS`; None: they are not"""
    sorted_by: tuple[str, ...]
    """within a file; the place in the log comes last, so the order is total"""


_PLACE: Final = (
    # 0 for a topic's first log, one more each time that it was made anew
    Column("log", "int"),
    Column("partition", "int"),
    Column("offset", "long"),
)
PLACE: Final = tuple(column.name for column in _PLACE)
"""The columns that tell which record a row was."""

QUOTES_TABLE: Final = ArchiveTable(
    name="quotes",
    topic=QUOTES,
    columns=(
        *_PLACE,
        Column("instrument_id", "long"),
        Column("price", "double"),
        Column("size", "double"),
        Column("ts", "timestamptz"),
    ),
    day_of="ts",
    bucket_of="instrument_id",
    sorted_by=("instrument_id", "ts", *PLACE),
)
INTERACTIONS_TABLE: Final = ArchiveTable(
    name="interactions",
    topic=INTERACTIONS,
    columns=(
        *_PLACE,
        Column("user_id", "string"),
        # None of a tombstone
        Column("instrument_id", "long", is_required=False),
        # one of `contracts.messages.EVENT_TYPES`, or `ERASED`
        Column("event", "string"),
        Column("price", "double", is_required=False),
        Column("quantity", "double", is_required=False),
        # of a tombstone: when the broker took it
        Column("ts", "timestamptz"),
        # of a tombstone, as `contracts.tombstones` has it
        Column("last_event_before", "timestamptz", is_required=False),
        Column("erased_at", "timestamptz", is_required=False, is_added=True),
    ),
    day_of="ts",
    bucket_of=None,
    sorted_by=("user_id", "ts", *PLACE),
)
FEEDBACK_TABLE: Final = ArchiveTable(
    name="feedback",
    topic=FEEDBACK,
    columns=(
        *_PLACE,
        # one of `contracts.feedback.FEEDBACK_TYPES`
        Column("type", "string"),
        Column("request_id", "string"),
        Column("user_id", "string"),
        Column("instrument_id", "long"),
        Column("position", "int"),
        Column("ts", "timestamptz"),
    ),
    day_of="ts",
    bucket_of=None,
    sorted_by=("user_id", "ts", *PLACE),
)
BARS_TABLE: Final = ArchiveTable(
    name="bars",
    topic=BARS,
    # A bar that changed is another row; the greatest revision of a minute holds, and of several
    # with that one the greatest count: the others are of a log that had lost the first quotes.
    columns=(
        *_PLACE,
        Column("instrument_id", "long"),
        Column("minute", "timestamptz"),
        Column("open", "double"),
        Column("high", "double"),
        Column("low", "double"),
        Column("close", "double"),
        Column("volume", "double"),
        # of quotes
        Column("count", "long"),
        # sum of price x size
        Column("notional", "double"),
        Column("open_ts", "timestamptz"),
        Column("close_ts", "timestamptz"),
        Column("revision", "long"),
    ),
    day_of="minute",
    bucket_of="instrument_id",
    sorted_by=("instrument_id", "minute", "revision", *PLACE),
)
TABLES: Final = (QUOTES_TABLE, INTERACTIONS_TABLE, FEEDBACK_TABLE, BARS_TABLE)
