"""The archive's tables as data: name, columns, partitions and order of rows.

`python -m archive` writes them with Apache Iceberg, one table per topic. This is the schema for all
readers, our programs and other engines alike. Column types are Iceberg's.

Every row has its position in the log: the `log`, `partition` and `offset` of its record. No two
rows of a table have the same position.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from contracts.bars import FIELDS, Kind
from contracts.event_types import ERASED as ERASED
from contracts.messages import QUOTE_COLUMNS
from contracts.topics import BARS, FEEDBACK, INTERACTIONS, QUOTES, Topic

ColumnType = Literal["int", "long", "double", "string", "timestamptz"]
"""`timestamptz` is µs since the epoch, UTC."""

BUCKETS: Final = 16
"""Number of buckets for the instruments of a day, by Iceberg's hash of the id."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    type: ColumnType
    is_required: bool = True
    is_later: bool = False
    """whether tables were made without it: the archive adds it to these, and it is null there"""


@dataclass(frozen=True, slots=True)
class ArchiveTable:
    """A table, as agreed between its writer and its readers."""

    name: str
    topic: Topic
    columns: tuple[Column, ...]
    """in Iceberg, the field id of a column is its index here, from 1; a later one has any"""
    day_of: str
    """the event time that partitions rows by day, UTC"""
    bucket_of: str | None
    """the column whose hash divides the rows of a day into `BUCKETS`; None: no buckets"""
    sorted_by: tuple[str, ...]
    """within a file; the position in the log comes last, so the order is total"""


_PLACE: Final = (
    # 0 for a topic's first log, one more each time it is recreated
    Column("log", "int"),
    Column("partition", "int"),
    Column("offset", "long"),
)
PLACE: Final = tuple(column.name for column in _PLACE)
"""The columns that identify a row's record."""

_OF_INTEGER: Final[Mapping[str, ColumnType]] = {"instrument_id": "long", "ts": "timestamptz"}
QUOTES_TABLE: Final = ArchiveTable(
    name="quotes",
    topic=QUOTES,
    columns=(
        *_PLACE,
        *(
            Column(c.name, _OF_INTEGER.get(c.name, "double"), not c.is_later, c.is_later)
            for c in QUOTE_COLUMNS
        ),
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
        # null for a tombstone
        Column("instrument_id", "long", is_required=False),
        # one of those in `EVENT_WEIGHTS`, or `ERASED`
        Column("event", "string"),
        Column("price", "double", is_required=False),
        Column("quantity", "double", is_required=False),
        # for a tombstone, when the broker received it
        Column("ts", "timestamptz"),
        # for a tombstone, as in `contracts.tombstones`
        Column("last_event_before", "timestamptz", is_required=False),
        Column("erased_at", "timestamptz", is_required=False),
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
_OF_KIND: Final[Mapping[Kind, ColumnType]] = {
    "price": "double",
    "amount": "double",
    "count": "long",
    "time": "timestamptz",
}


def _columns_of_bars(*, is_optional: bool) -> Iterator[Column]:
    for field in FIELDS.values():
        if field.is_optional == is_optional:
            yield Column(field.name, _OF_KIND[field.kind], not is_optional, is_optional)


BARS_TABLE: Final = ArchiveTable(
    name="bars",
    topic=BARS,
    # A changed bar is a new row; the highest revision of a minute is valid, and among several with
    # that revision the highest count: the others come from a log that had lost the first quotes.
    columns=(
        *_PLACE,
        Column("instrument_id", "long"),
        Column("minute", "timestamptz"),
        *_columns_of_bars(is_optional=False),
        Column("revision", "long"),
        *_columns_of_bars(is_optional=True),
    ),
    day_of="minute",
    bucket_of="instrument_id",
    sorted_by=("instrument_id", "minute", "revision", *PLACE),
)
TABLES: Final = (QUOTES_TABLE, INTERACTIONS_TABLE, FEEDBACK_TABLE, BARS_TABLE)
