"""The answers about bars: the only definition of their JSON."""

import msgspec

from api.http.ids import AnsweredId
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


class LatestQuotes(msgspec.Struct, frozen=True):
    """The newest quotes of several instruments."""

    quotes: dict[str, LatestQuote]
    """keyed by the id or symbol in the request"""
    unknown: list[str]
    """ids and symbols in the request that never had a quote"""


class Snapshot(msgspec.Struct, frozen=True):
    """The current state of an instrument; a bar is null if its period has no quotes."""

    quote: LatestQuote
    minute: Bar | None
    """the current one"""
    previous_minute: Bar | None
    day: Bar | None
    """today (UTC)"""
    previous_day: Bar | None
    """yesterday (UTC)"""


class Snapshots(msgspec.Struct, frozen=True):
    """The current state of several instruments."""

    snapshots: dict[str, Snapshot]
    """keyed by the id or symbol in the request"""
    unknown: list[str]
    """ids and symbols in the request that never had a quote"""


class LegacyBar(msgspec.Struct, frozen=True, gc=False):
    """A minute bar in the first version's names."""

    instrid: int
    price_close: float
    price_high: float
    price_low: float
    price_open: float
