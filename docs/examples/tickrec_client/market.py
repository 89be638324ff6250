"""Prices: bars, quotes, snapshots, movers, and bars as they change. Open to all."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypedDict, Unpack

from .bars import Bars, BarsOfMany, Interval, LatestQuotes, Movers, Snapshots
from .connection import Connection, pages, path
from .stream import Change, changes


class BarsQuery(TypedDict, total=False):
    """Which bars; times are epoch ms, or RFC 3339."""

    limit: int
    start: int | str
    end: int | str
    interval: Interval


class FilledBarsQuery(BarsQuery, total=False):
    """Which bars of one instrument."""

    fill: Literal["none", "previous"]


class MoversQuery(TypedDict, total=False):
    """Which movers."""

    window: Literal["5m", "15m", "1h"]
    direction: Literal["up", "down"]
    n: int
    category: Sequence[str]
    exclude_category: Sequence[str]


class Market:
    """Instruments are named by id or symbol."""

    def __init__(self, connection: Connection) -> None:
        self._api = connection

    def bars(
        self,
        instrument: int | str,
        *,
        page_token: str | None = None,
        **query: Unpack[FilledBarsQuery],
    ) -> Bars:
        """Return the last `limit` buckets before `end`; with `start`, a page from there on."""
        asked = {**query, "page_token": page_token}
        return self._api.get(Bars, path("/v1/instruments/{}/bars", instrument), asked)

    def bars_pages(self, instrument: int | str, **query: Unpack[FilledBarsQuery]) -> Iterator[Bars]:
        """Yield all bars from `start` on, a page of up to `limit` at a time."""
        return pages(lambda token: self.bars(instrument, page_token=token, **query))

    def bars_of_many(
        self,
        instruments: Sequence[int | str],
        *,
        page_token: str | None = None,
        **query: Unpack[BarsQuery],
    ) -> BarsOfMany:
        """Return bars of up to 100 instruments."""
        asked = {"instruments": tuple(instruments), **query, "page_token": page_token}
        return self._api.get(BarsOfMany, "/v1/bars", asked)

    def bars_of_many_pages(
        self, instruments: Sequence[int | str], **query: Unpack[BarsQuery]
    ) -> Iterator[BarsOfMany]:
        """Yield bars of up to 100 instruments, a page at a time."""
        return pages(lambda token: self.bars_of_many(instruments, page_token=token, **query))

    def latest_quotes(self, instruments: Sequence[int | str]) -> LatestQuotes:
        """Return the newest quotes of up to 500 instruments."""
        return self._api.get(LatestQuotes, "/v1/quotes/latest", {"instruments": tuple(instruments)})

    def snapshots(self, instruments: Sequence[int | str]) -> Snapshots:
        """Return where up to 100 instruments stand."""
        return self._api.get(Snapshots, "/v1/snapshots", {"instruments": tuple(instruments)})

    def movers(self, **query: Unpack[MoversQuery]) -> Movers:
        """Return the instruments whose prices rose or fell most."""
        return self._api.get(Movers, "/v1/movers", query)

    def stream(self, instruments: Iterable[int | str]) -> Iterator[Change]:
        """Yield what happens to the bars of up to 500 instruments: see `stream.changes`."""
        return changes(self._api, instruments)
