"""The answers about bars: the only definition of their JSON, and the same as CSV.

CSV has a row for each bar, and its columns are `Bar`'s fields. The bars of several instruments have
a first column `instrument`, the name in the request.
"""

import csv
import io
from typing import Any, Final

import msgspec

from api.http.instrument_refs import AnsweredId
from api.http.reply import MAX_HEADER_BYTES, ToCsv
from contracts.bars import Close, Count, High, Low, Open, Volume


class Bar(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A bar of any interval, in the letters that Alpaca and Polygon use."""

    t: int
    """start of the bar, epoch ms"""
    o: Open
    h: High
    l: Low  # noqa: E741 (the field's letter)
    c: Close
    v: Volume
    n: Count
    """0 in a bar that `fill` added"""
    vw: float | None
    """volume-weighted average price; null without volume"""
    closed: bool
    """whether the bar's period is over; a late quote may still revise it"""
    partial: bool = False
    """true if some minutes of the bar's period may be missing because they are no longer retained;
    absent if the bar is complete"""


class Gap(msgspec.Struct, frozen=True):
    """Minutes for which neither Redis nor the archive has all quotes."""

    start: int
    """epoch ms"""
    end: int
    """exclusive"""


class Bars(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bars of an instrument, in the order of `sort`."""

    instrument_id: AnsweredId
    interval: str
    bars: list[Bar]
    next_page_token: str | None
    """`page_token` of the next page; null on the last page, and without `start`"""
    continue_before: int | None = None
    """`end` for a request of the earlier buckets, epoch ms, if one answer cannot read that much of
    the archive; absent if everything was read"""
    gap: Gap | None = None
    """minutes that the archive does not have yet, and Redis only in part; absent if there are
    none"""


class BarsOfMany(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bars of several instruments, each in the order of `sort`."""

    interval: str
    bars: dict[str, list[Bar]]
    """keyed by the id or symbol in the request; absent if it has no bars on this page"""
    unknown: list[str]
    """ids and symbols in the request that never had a quote"""
    next_page_token: str | None
    """`page_token` of the next page; null on the last page"""
    gap: Gap | None = None
    """minutes that the archive does not have yet, and Redis only in part for some instrument;
    absent if there are none"""
    without_hours: dict[str, str] = {}
    """why an instrument of the request has no bars of the `session`, as its trading hours are not
    known; absent if there is none"""


class LatestQuote(msgspec.Struct, frozen=True, gc=False):
    """The newest quote of an instrument."""

    price: float
    ts: int
    """its event time, epoch ms"""


class LegacyBar(msgspec.Struct, frozen=True, gc=False):
    """A minute bar in the first version's names."""

    instrid: int
    price_close: float
    price_high: float
    price_low: float
    price_open: float


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
