"""What the API answers about prices."""

from typing import Literal

import msgspec

Interval = Literal["1m", "5m", "15m", "1h", "1d", "1w"]


class Bar(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bar: prices, volume and number of the quotes of `[t, t + interval)`."""

    t: int
    """epoch ms"""
    o: float
    h: float
    l: float  # noqa: E741 (the field's letter)
    c: float
    v: float
    n: int
    vw: float | None
    """volume-weighted average price; None without volume"""
    closed: bool
    """whether its time is over; a late quote may still revise it"""
    partial: bool = False
    """whether minutes of its time may be missing, as the server has them no longer"""


class LiveBar(Bar, frozen=True, kw_only=True):
    """A minute bar of a stream: takes the place of the one with the same `t`."""

    instrument_id: int


class Gap(msgspec.Struct, frozen=True):
    """Minutes in `[start, end)`, epoch ms, of which bars may be missing: ask again later."""

    start: int
    end: int


class Bars(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bars of an instrument, oldest first."""

    instrument_id: int
    interval: Interval
    bars: list[Bar]
    next_page_token: str | None
    continue_before: int | None = None
    """`end` of the buckets before, where all of them are more than one answer reads"""
    gap: Gap | None = None


class BarsOfMany(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bars of several instruments by the names that were used to ask, each oldest first."""

    interval: Interval
    bars: dict[str, list[Bar]]
    unknown: list[str]
    """never had a quote"""
    next_page_token: str | None
    gap: Gap | None = None


class Quote(msgspec.Struct, frozen=True):
    """A price, and its event time in epoch ms."""

    price: float
    ts: int


class LatestQuotes(msgspec.Struct, frozen=True):
    """The newest quotes, by the names that were used to ask."""

    quotes: dict[str, Quote]
    unknown: list[str]


class Snapshot(msgspec.Struct, frozen=True):
    """Where an instrument stands; a bar is None if there was no quote in its time."""

    quote: Quote
    minute: Bar | None
    previous_minute: Bar | None
    day: Bar | None
    previous_day: Bar | None


class Snapshots(msgspec.Struct, frozen=True):
    """Where several instruments stand, by the names that were used to ask."""

    snapshots: dict[str, Snapshot]
    unknown: list[str]


class Mover(msgspec.Struct, frozen=True):
    """An instrument whose price changed by `change`, `close / open - 1`."""

    instrument_id: int
    change: float
    open: float
    close: float


class Movers(msgspec.Struct, frozen=True):
    """The instruments that moved most in the window before `as_of`, epoch ms."""

    window: Literal["5m", "15m", "1h"]
    direction: Literal["up", "down"]
    as_of: int | None
    """None: no prices are known yet"""
    movers: list[Mover]
