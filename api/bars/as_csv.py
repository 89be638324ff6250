"""Bars as CSV: a row for each bar. Its columns are `Bar`'s fields.

The bars of several instruments have a first column `instrument`, the name in the request.
"""

import csv
import io
from typing import Any, Final

import msgspec

from api.bars.answers import Bar, Bars, BarsOfMany
from api.http.csv_answers import MAX_HEADER_BYTES, ToCsv

INSTRUMENT: Final = "instrument"
_COLUMNS: Final = Bar.__struct_fields__


def as_csv(kind: type[Bars] | type[BarsOfMany]) -> ToCsv:
    """Return what makes CSV (RFC 4180) of the JSON of a `kind`: `t` is epoch ms, null is empty."""

    def made(body: bytes) -> tuple[bytes, bytes]:
        rest = msgspec.json.decode(body)
        del rest["bars"]
        # With `ids=string`, ids are strings in the answer.
        rows = _rows(msgspec.json.decode(body, type=kind, strict=False))
        return rows, _header(rest)

    return made


def _header(rest: dict[str, Any]) -> bytes:
    """Return members of an answer, without the longest ones if they exceed `MAX_HEADER_BYTES`."""
    while len(header := msgspec.json.encode(rest)) > MAX_HEADER_BYTES:
        longest = max(rest, key=lambda name: len(msgspec.json.encode(rest[name])))
        del rest[longest]
        rest.setdefault("omitted", []).append(longest)
    return header


def _rows(answer: Bars | BarsOfMany) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text)
    if isinstance(answer, Bars):
        rows.writerow(_COLUMNS)
        rows.writerows(map(_row, answer.bars))
    else:
        rows.writerow((INSTRUMENT, *_COLUMNS))
        rows.writerows((name, *_row(bar)) for name, own in answer.bars.items() for bar in own)
    return text.getvalue().encode()


def _row(bar: Bar) -> list[Any]:
    values = msgspec.structs.astuple(bar)
    return [str(value).lower() if isinstance(value, bool) else value for value in values]
