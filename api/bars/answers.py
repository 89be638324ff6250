"""The answers about bars: the only definition of their JSON."""

import msgspec


class Bar(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A bar of any interval, in the letters that Alpaca and Polygon use."""

    t: int
    """start of the bar, epoch ms"""
    o: float
    h: float
    l: float  # noqa: E741 (the field's letter)
    c: float
    v: float
    """volume: the sum of sizes"""
    n: int
    """number of quotes; 0 in a bar that `fill` made"""
    vw: float | None
    """volume-weighted average price; null without volume"""
    closed: bool
    """whether the bar's time is over; a late quote may still revise it"""
    partial: bool = False
    """true where minutes of the bar's time may be missing, as they are retained no longer; absent
    where all are there"""


class Gap(msgspec.Struct, frozen=True):
    """Minutes that neither Redis nor the archive has in whole, though there may be quotes."""

    start: int
    """epoch ms"""
    end: int
    """not included"""


class Bars(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bars of an instrument, oldest first."""

    instrument_id: int
    interval: str
    bars: list[Bar]
    next_page_token: str | None
    """`page_token` of the next page; null if nothing is left, and without `start`"""
    continue_before: int | None = None
    """`end` of the buckets before, epoch ms, where all of them are more than one answer reads of
    the archive; absent if all were looked at"""
    gap: Gap | None = None
    """minutes that the archive does not have yet, and Redis not in whole; absent if there are
    none"""


class BarsOfMany(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bars of several instruments, each oldest first."""

    interval: str
    bars: dict[str, list[Bar]]
    """by what the request calls the instrument; absent if it has none on this page"""
    unknown: list[str]
    """what the request calls those that never had a quote"""
    next_page_token: str | None
    """`page_token` of the next page; null if nothing is left"""
    gap: Gap | None = None
    """minutes that the archive does not have yet, and Redis not in whole of each; absent if there
    are none"""


class LatestQuote(msgspec.Struct, frozen=True, gc=False):
    """The newest quote of an instrument."""

    price: float
    ts: int
    """its event time, epoch ms"""


class LatestQuotes(msgspec.Struct, frozen=True):
    """The newest quotes of several instruments."""

    quotes: dict[str, LatestQuote]
    """by what the request calls the instrument"""
    unknown: list[str]
    """what the request calls those that never had a quote"""


class Snapshot(msgspec.Struct, frozen=True):
    """Where an instrument stands; a bar is null if no quotes of its time are there."""

    quote: LatestQuote
    minute: Bar | None
    """the running one"""
    previous_minute: Bar | None
    day: Bar | None
    """today (UTC)"""
    previous_day: Bar | None
    """yesterday (UTC)"""


class Snapshots(msgspec.Struct, frozen=True):
    """Where several instruments stand."""

    snapshots: dict[str, Snapshot]
    """by what the request calls the instrument"""
    unknown: list[str]
    """what the request calls those that never had a quote"""


class LegacyBar(msgspec.Struct, frozen=True, gc=False):
    """A minute bar in the first version's names."""

    instrid: int
    price_close: float
    price_high: float
    price_low: float
    price_open: float
