"""The answers about the market: the only definition of their JSON."""

from typing import Literal

import msgspec

from api.bars.answers import Bar, LatestQuote
from api.http.instrument_refs import NamedInstrument


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


MoversWindow = Literal["5m", "15m", "1h"]
Direction = Literal["up", "down"]


class Mover(NamedInstrument, frozen=True, gc=False, omit_defaults=True):
    """An instrument whose price changed over the window."""

    change: float
    """`close / open - 1`"""
    open: float
    """first price of the window"""
    close: float
    """last price of the window"""


class Movers(msgspec.Struct, frozen=True):
    """The instruments that moved most, the largest change first."""

    window: MoversWindow
    direction: Direction
    as_of: int | None
    """end of the window, epoch ms; null: no prices are known yet"""
    movers: list[Mover]
