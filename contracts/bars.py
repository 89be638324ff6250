"""The table of a bar's fields. Whatever holds a bar derives from it.

A row says how a field is called, which columns of quotes it is made of, how the values of two bars
merge, which numbers it may be, and whether bars exist that were stored without it. A struct names
the rows that it has, by their letters in JSON and in JSON's order: `BarValue` in Redis, `Minute`
for what is merged into longer bars, `contracts.bar_messages.ClosedBar` in Kafka, and
`api.bars.answers.Bar` in answers. An optional field is last in each, with 0.0 as its default. All
else follows: the archive's columns, a worker's memory, merges, conversions, and what tests expect.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar, get_type_hints

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.decoding import Ints
from contracts.log_position import LogPosition
from contracts.times import MINUTE_MS

Merge = Literal["first", "last", "max", "min", "sum"]
"""How values merge; the first and the last are by event time, ties by the place in the log."""
Kind = Literal["price", "amount", "count", "time"]
"""Prices are above 0, amounts 0 or more, counts 1 or more; times are epoch ms."""
S = TypeVar("S", bound=msgspec.Struct)
Column = npt.NDArray[Any]
"""(n,) of a field's `dtype`"""

GREATEST: Final = sys.float_info.max
"""Greater sums and ratios are this: JSON has no infinity."""


@dataclass(frozen=True, slots=True)
class BarField:
    """A row of the table."""

    name: str
    """in a worker's memory and in the archive"""
    of: tuple[str, ...]
    """what a quote adds: the product of these fields of it, 1 if there are none"""
    merge: Merge
    kind: Kind
    is_optional: bool = False
    """whether bars were stored before it existed: it counts as 0 in these, so it is a sum"""

    def __post_init__(self) -> None:
        """Raise ValueError if 0 does not stand for nothing in an optional field."""
        if self.is_optional and (self.merge, self.kind) != ("sum", "amount"):
            raise ValueError(f"{self.name} cannot be optional: only a sum of amounts begins at 0")

    @property
    def dtype(self) -> type[np.int64 | np.float64]:
        """NumPy's type of its values."""
        return np.float64 if self.kind in ("price", "amount") else np.int64


Open = Annotated[float, BarField("open", ("price",), "first", "price")]
High = Annotated[float, BarField("high", ("price",), "max", "price")]
Low = Annotated[float, BarField("low", ("price",), "min", "price")]
Close = Annotated[float, BarField("close", ("price",), "last", "price")]
Volume = Annotated[float, BarField("volume", ("size",), "sum", "amount")]
Count = Annotated[int, BarField("count", (), "sum", "count")]
Notional = Annotated[float, BarField("notional", ("price", "size"), "sum", "amount")]
"""Divided by the volume, it is the volume-weighted average price."""
OpenTime = Annotated[int, BarField("open_ts", ("ts",), "first", "time")]
CloseTime = Annotated[int, BarField("close_ts", ("ts",), "last", "time")]


class Minute(msgspec.Struct, frozen=True, gc=False):
    """The fields that longer bars are made of: half the work to decode of a `BarValue`."""

    o: Open
    h: High
    l: Low  # noqa: E741 (the field's letter)
    c: Close
    v: Volume
    n: Count
    pv: Notional


class BarValue(msgspec.Struct, frozen=True, gc=False):
    """A minute bar in Redis: all fields, so that quotes fold into it in any order of event time."""

    o: Open
    h: High
    l: Low  # noqa: E741 (the field's letter)
    c: Close
    v: Volume
    n: Count
    pv: Notional
    ot: OpenTime
    ct: CloseTime
    off: LogPosition
    """of the last quote folded in, by position"""


def fields_of(kind: type[msgspec.Struct]) -> Mapping[str, BarField]:
    """Return the rows of the table that a struct has, by letter.

    >>> [field.name for field in fields_of(Minute).values()][:4]
    ['open', 'high', 'low', 'close']
    """
    hints = get_type_hints(kind, include_extras=True)
    return {
        letter: row
        for letter, hint in hints.items()
        for row in getattr(hint, "__metadata__", ())
        if isinstance(row, BarField)
    }


FIELDS: Final = fields_of(BarValue)
"""All of them, by letter."""


def structs_of(kind: type[S], columns: Mapping[str, Column | Iterable[Any]]) -> Iterator[S]:
    """Yield a struct for each row of the columns of its fields, which may be iterables."""
    in_order = (columns[name] for name in kind.__struct_fields__)
    return map(kind, *(c.tolist() if isinstance(c, np.ndarray) else c for c in in_order))


def merge_runs(merge: Merge, column: Column, first: Ints, last: Ints) -> Column:
    """Return a merged value of each run of a column, (k,).

    Args:
        merge: how.
        column: (n,), each run in order.
        first: (k,) places where the runs begin, k above 0.
        last: (k,) places where they end, inclusive.
    """
    match merge:
        case "first":
            return column[first]
        case "last":
            return column[last]
        case "max":
            return np.maximum.reduceat(column, first)
        case "min":
            return np.minimum.reduceat(column, first)
        case "sum":
            return capped(np.add.reduceat(column, first))


def capped(sums: Column) -> Column:
    """Return sums with `GREATEST` instead of infinity."""
    return np.minimum(sums, GREATEST) if sums.dtype == np.float64 else sums


class _Folding(msgspec.Struct):
    bars_retention_minutes: int


_folding = msgspec.json.Decoder(_Folding)


def retained_before_newest_ms(folding: bytes) -> int:
    """Return how far back from an instrument's newest minute minutes are retained.

    Args:
        folding: of the position of the instrument's partition.
    """
    return (_folding.decode(folding).bars_retention_minutes - 1) * MINUTE_MS
