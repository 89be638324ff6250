"""Validation rules for the archive's rows, as data: they follow from what a topic may contain.

`runtime.archive.quality` turns them into expectations. They do not cover the existence and types of
columns: a table without a required column is not opened at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from contracts.archive import (
    BARS_TABLE,
    ERASED,
    FEEDBACK_TABLE,
    INTERACTIONS_TABLE,
    PLACE,
    QUOTES_TABLE,
    ArchiveTable,
)
from contracts.bars import FIELDS, GREATEST, Kind
from contracts.event_types import MAX_NAME_CHARACTERS
from contracts.feedback import FEEDBACK_TYPES, MAX_POSITION
from contracts.messages import MAX_AMOUNT, MAX_USER_ID_BYTES, MIN_AMOUNT


@dataclass(frozen=True, slots=True)
class NotNull:
    """A column has a value in each row, except in those that match `unless`."""

    column: str
    unless: tuple[str, str] | None = None
    """column and value"""


@dataclass(frozen=True, slots=True)
class Within:
    """A number is null or within bounds."""

    column: str
    least: float
    most: float | None = None
    """None: the limit of the column's type"""
    is_above: bool = False
    """whether it must be above `least`"""


@dataclass(frozen=True, slots=True)
class InThePast:
    """A time is not before 1970, and at most `contracts.messages.MAX_AHEAD_MS` after the check."""

    column: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """A column has one of some values."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BytesWithin:
    """The UTF-8 length of a text is within bounds."""

    column: str
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class NotAbove:
    """In each row, `lower` is at most `upper`."""

    lower: str
    upper: str


@dataclass(frozen=True, slots=True)
class NewPlace:
    """No earlier row, in the order of the files, has the same position in the log."""


@dataclass(frozen=True, slots=True)
class CoveredPlace:
    """The position is before the snapshot's positions: it has no more than it claims.

    Within a partition, offsets may be missing: invalid records have no rows, and neither have
    removed users.
    """


Rule = NotNull | Within | InThePast | OneOf | BytesWithin | NotAbove | NewPlace | CoveredPlace


def _amount(column: str) -> Within:
    return Within(column, MIN_AMOUNT, MAX_AMOUNT)


_OF_BARS: Final[Mapping[Kind, Callable[[str], Rule]]] = {
    "price": lambda column: Within(column, 0, GREATEST, is_above=True),
    "amount": lambda column: Within(column, 0, GREATEST),
    "count": lambda column: Within(column, 1),
    "time": InThePast,
}
_USER: Final = BytesWithin("user_id", 1, MAX_USER_ID_BYTES)
_OF_TABLES: Final[Mapping[str, tuple[Rule, ...]]] = {
    QUOTES_TABLE.name: (
        Within("instrument_id", 0),
        _amount("price"),
        Within("size", 0, MAX_AMOUNT),
        InThePast("ts"),
    ),
    INTERACTIONS_TABLE.name: (
        _USER,
        NotNull("instrument_id", unless=("event", ERASED)),
        Within("instrument_id", 0),
        BytesWithin("event", 1, MAX_NAME_CHARACTERS),
        _amount("price"),
        _amount("quantity"),
        InThePast("ts"),
    ),
    FEEDBACK_TABLE.name: (
        OneOf("type", FEEDBACK_TYPES),
        _USER,
        Within("instrument_id", 0),
        Within("position", 1, MAX_POSITION),
        InThePast("ts"),
    ),
    BARS_TABLE.name: (
        Within("instrument_id", 0),
        *(_OF_BARS[field.kind](field.name) for field in FIELDS.values()),
        *(NotAbove("low", column) for column in ("open", "close")),
        *(NotAbove(column, "high") for column in ("open", "close")),
        Within("revision", 0),
        NotAbove("minute", "open_ts"),
        NotAbove("open_ts", "close_ts"),
        InThePast("minute"),
    ),
}


def rules_of(table: ArchiveTable) -> tuple[Rule, ...]:
    """Return the rules of a table, those that hold in all tables first.

    >>> from contracts.archive import QUOTES_TABLE
    >>> rules_of(QUOTES_TABLE)[:2]
    (NotNull(column='log', unless=None), NotNull(column='partition', unless=None))
    """
    return (
        *(NotNull(column.name) for column in table.columns if column.is_required),
        *(Within(column, 0) for column in PLACE),
        CoveredPlace(),
        NewPlace(),
        *_OF_TABLES[table.name],
    )
