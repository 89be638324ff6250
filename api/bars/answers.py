"""The answers about bars: the only definition of their JSON."""

import msgspec


class Bar(msgspec.Struct, frozen=True, gc=False):
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


class Bars(msgspec.Struct, frozen=True):
    """Bars of an instrument, oldest first."""

    instrument_id: int
    interval: str
    bars: list[Bar]


class LegacyBar(msgspec.Struct, frozen=True, gc=False):
    """A minute bar in the first version's names."""

    instrid: int
    price_close: float
    price_high: float
    price_low: float
    price_open: float
