"""Pages of bars: how much fits on one, and the token of the next. Pure.

A token says where the next page begins, so a server keeps no state between pages, and any server
can answer the next request. Pages go forward in time, or back, the newest bars first.
"""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from api.bars.aggregation import Window, fill_previous
from api.bars.answers import Bar
from api.bars.intervals import Interval
from api.http.parsing import content_of_token, page_token
from api.http.problems import broken_rule
from contracts.messages import MAX_INSTRUMENT_ID
from contracts.times import MAX_TS_MS

MAX_TOKEN_CHARACTERS: Final = 200

Sort = Literal["asc", "desc"]
"""Oldest first, or newest first."""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins."""

    instrument_id: Annotated[int, msgspec.Meta(ge=0, le=MAX_INSTRUMENT_ID)]
    at_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_TS_MS)]
    """start of its first bucket; if pages go back in time, end of its last one"""
    close: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """the previous close, if gaps are filled and pages go forward"""
    of: str = ""
    """of a token: the interval of the buckets, with their time zone and order if these are not the
    defaults"""

    def token(self, interval: Interval, sort: Sort) -> str:
        """Return the token, for `parse_token`, of a page of the same interval and order.

        >>> from api.bars.intervals import MINUTE
        >>> parse_token(Position(4, 60_000).token(MINUTE, "desc"))
        Position(instrument_id=4, at_ms=60000, close=None, of='1m&sort=desc')
        """
        # A bucket of the last week of the year 9999 may end after it.
        at_ms = min(self.at_ms, MAX_TS_MS)
        whole = msgspec.structs.replace(self, at_ms=at_ms, of=_named(interval, sort))
        return page_token(msgspec.json.encode(whole))

    def check(self, interval: Interval, sort: Sort) -> None:
        """Check that a page of `interval` may begin here.

        Raises:
            Problem: the position belongs to another interval, or to pages of the other order.
        """
        named = _named(interval, sort)
        if self.of != named:
            reason = f"must be of an answer with interval={named}, not {self.of}"
            raise broken_rule("page_token", reason)


_position = msgspec.json.Decoder(Position)


def parse_token(text: str) -> Position:
    """Return the position of a token.

    Raises:
        ValueError: it is not a token.
    """
    try:
        return _position.decode(content_of_token(text))
    except ValueError:  # a wrong encoding, or a wrong position
        raise ValueError("must be the `next_page_token` of an answer") from None


def whole_buckets(starts: Sequence[int], interval: Interval, bars: int, minutes: int) -> int:
    """Return how many of the minutes `starts` fit into `bars` buckets without splitting one.

    They are in order, or in reverse order.

    >>> from api.bars.intervals import parse_interval
    >>> five = parse_interval("5m")
    >>> whole_buckets([0, 60_000, 300_000, 360_000, 600_000], five, bars=2, minutes=100)
    4
    >>> whole_buckets([0, 60_000, 300_000, 360_000, 600_000], five, bars=2, minutes=3)
    2
    """
    end, bucket = 0, None
    for place, start in enumerate(starts[: minutes + 1]):
        if (own := interval.start_of(start)) != bucket:
            end = place
            if not bars:
                return end
            bars -= 1
            bucket = own
    return end if len(starts) > minutes else len(starts)


def cut(bars: list[Bar], limit: int, sort: Sort) -> tuple[list[Bar], int | None]:
    """Return the bars that fit on a page, oldest first, and where the next one begins, epoch ms.

    It is None if all of them fit.
    """
    if len(bars) <= limit:
        return bars, None
    if sort == "desc":
        return bars[-limit:], bars[-limit].t
    return bars[:limit], bars[limit].t


def beginning_of(window: Window, sort: Sort) -> int:
    """Return where the first page of a window begins, epoch ms."""
    return window.first_ms if sort == "asc" else window.end_ms


def page_of(window: Window, rest: Position | None, sort: Sort) -> Window:
    """Return the part of a window that is on a page, given where the next page begins."""
    if rest is None:
        return window
    return window.since(rest.at_ms) if sort == "desc" else window.until(rest.at_ms)


def fill_page(
    bars: Sequence[Bar],
    window: Window,
    position: Position,
    rest: Position | None,
    limit: int,
    now_ms: int,
) -> tuple[list[Bar], Position | None]:
    """Return the first `limit` bars of a window with gaps filled, and where the next page begins.

    Args:
        bars: those of the window before `rest`.
        window: the buckets from `position` on.
        position: where the page begins, with the previous `close`.
        rest: start of the bars that are not among `bars`.
        limit: above 0.
        now_ms: the clock that decides whether a bar is closed.
    """
    if position.close is None and not bars:
        return [], rest
    interval = window.interval
    first_ms = window.first_ms if position.close is not None else bars[0].t
    last_ms = page_of(window, rest, "asc").last_ms
    # One bar more than fits, if there is one; the first bucket may have no trading hours.
    page = Window(first_ms, min(last_ms, interval.moved(first_ms, limit + 1)), interval)
    filled = fill_previous(bars, page, now_ms, position.close)
    if len(filled) > limit:
        rest_ms = filled[limit].t
    elif rest is not None:
        rest_ms = rest.at_ms
    else:
        return filled, None
    filled = filled[:limit]
    close = filled[-1].c if filled else position.close
    return filled, Position(position.instrument_id, rest_ms, close)


def fill_page_back(
    bars: Sequence[Bar], window: Window, rest: Position | None, limit: int, now_ms: int
) -> tuple[list[Bar], int | None]:
    """Return the last `limit` bars of a window with gaps filled, and where the next page begins.

    Nothing is known of buckets before the first of `bars`: they are on the next page, if there is a
    `rest`.

    Args:
        bars: the last ones of the window, oldest first.
        window: the buckets up to where the page begins.
        rest: end of the buckets that are not among `bars`.
        limit: above 0.
        now_ms: the clock that decides whether a bar is closed.
    """
    if not bars:
        return [], rest.at_ms if rest else None
    interval = window.interval
    first_ms = max(bars[0].t, interval.last(window.end_ms, limit)[0])
    close = next((bar.c for bar in reversed(bars) if bar.t < first_ms), None)
    page = Window(first_ms, window.last_ms, interval)
    has_more = rest is not None or bars[0].t < first_ms
    return fill_previous(bars, page, now_ms, close), first_ms if has_more else None


def _named(interval: Interval, sort: Sort) -> str:
    return interval.query if sort == "asc" else f"{interval.query}&sort={sort}"
