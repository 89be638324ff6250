"""Bars as a table, for CSV, Arrow and Parquet: a row for each bar. Its columns are `Bar`'s fields.

The bars of several instruments have a first column `instrument`, the name in the request.
"""

import csv
import io
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import inspect

from api.bars.answers import Bar, Bars, BarsOfMany
from api.http.forms import ARROW, CSV, PARQUET, Form

if TYPE_CHECKING:
    import pyarrow as pa

INSTRUMENT: Final = "instrument"
TIME: Final = "t"
_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Bar)}
_METADATA: Final = "tickrec"
_BARS: Final = "bars"

Answer = Bars | BarsOfMany
Columns = dict[str, list[Any]]


def columns(answer: Answer) -> Columns:
    """Return the columns of an answer's bars, in the order of the table."""
    if isinstance(answer, Bars):
        return _columns(answer.bars)
    bars = [bar for own in answer.bars.values() for bar in own]
    names = [name for name, own in answer.bars.items() for _ in own]
    return {INSTRUMENT: names, **_columns(bars)}


def as_csv(answer: Answer, _: bytes) -> bytes:
    """Return the bars as CSV (RFC 4180): `t` is epoch ms, null is empty."""
    found = columns(answer)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(found)
    rows.writerows(zip(*(map(_text, column) for column in found.values()), strict=True))
    return text.getvalue().encode()


def as_arrow(answer: Answer, rest: bytes) -> bytes:
    """Return the bars as a stream of Arrow's IPC format; `rest` is metadata of its schema."""
    import pyarrow as pa

    sink, table = pa.BufferOutputStream(), _table(answer, rest)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def as_parquet(answer: Answer, rest: bytes) -> bytes:
    """Return the bars as a Parquet file; `rest` is metadata of its schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(_table(answer, rest), sink)
    return bytes(sink.getvalue())


def forms() -> tuple[Form, ...]:
    """Return the forms of bars; without pyarrow, which takes 120 MB, only CSV can be made."""
    missing = None if find_spec("pyarrow") else "pyarrow"
    return (
        Form(CSV, _BARS, as_csv),
        Form(ARROW, _BARS, as_arrow, missing),
        Form(PARQUET, _BARS, as_parquet, missing),
    )


def _columns(bars: Iterable[Bar]) -> Columns:
    rows = list(map(msgspec.structs.astuple, bars))
    return {name: [row[place] for row in rows] for place, name in enumerate(_FIELDS)}


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _table(answer: Answer, rest: bytes) -> "pa.Table":
    import pyarrow as pa

    found = columns(answer)
    schema = pa.schema([(name, _type(name)) for name in found], {_METADATA: rest})
    return pa.table(found, schema)


def _type(name: str) -> "pa.DataType":
    """Return the type of a column; a price that may be null is a float."""
    import pyarrow as pa

    if name == INSTRUMENT:
        return pa.string()
    if name == TIME:
        return pa.timestamp("ms", "UTC")
    own = {
        inspect.IntType: pa.int64(),
        inspect.FloatType: pa.float64(),
        inspect.BoolType: pa.bool_(),
    }
    kinds = _plain(inspect.type_info(_FIELDS[name].type))
    return next(found for kind, found in own.items() if kind in kinds)


def _plain(info: inspect.Type) -> set[type[inspect.Type]]:
    if isinstance(info, inspect.Metadata):
        return _plain(info.type)
    if isinstance(info, inspect.UnionType):
        return {kind for one in info.types for kind in _plain(one)}
    return {type(info)}
