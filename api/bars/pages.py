"""Pages of bars: how much fits on one, and the token of the next. Pure.

A token says where the next page begins, so a server keeps no state between pages, and any server
can answer the next request.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from api.bars.aggregation import Window, fill_previous
from api.bars.answers import Bar
from api.bars.intervals import Interval
from api.http.parsing import content_of_token, page_token
from api.http.problems import broken_rule
from contracts.messages import MAX_INSTRUMENT_ID
from contracts.times import MAX_TS_MS

MAX_TOKEN_CHARACTERS: Final = 200


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins."""

    instrument_id: Annotated[int, msgspec.Meta(ge=0, le=MAX_INSTRUMENT_ID)]
    start_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_TS_MS)]
    """the bucket"""
    close: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """the previous close, if gaps are filled"""
    interval: str | None = None
    """of the buckets; None in tokens from before this field existed"""

    def token(self, interval: Interval) -> str:
        """Return the token, for `parse_token`, of a page of the same interval.

        >>> from api.bars.intervals import MINUTE
        >>> parse_token(Position(4, 60_000).token(MINUTE))
        Position(instrument_id=4, start_ms=60000, close=None, interval='1m')
        """
        of_interval = msgspec.structs.replace(self, interval=interval.text)
        return page_token(msgspec.json.encode(of_interval))

    def check_interval(self, interval: Interval) -> None:
        """Check that a page of `interval` may begin here.

        Raises:
            Problem: the position belongs to another interval.
        """
        if self.interval not in (None, interval.text):
            reason = f"must be of an answer with interval={interval.text}, not {self.interval}"
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
    """Return how many of the minutes `starts` fit into so many buckets without splitting one.

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
    last_ms = interval.moved(rest.start_ms, -1) if rest else window.last_ms
    # One bar more than fits, if there is one.
    page = Window(first_ms, min(last_ms, interval.moved(first_ms, limit)), interval)
    filled = fill_previous(bars, page, now_ms, position.close)
    if len(filled) > limit:
        rest_ms = filled[limit].t
    elif rest is not None:
        rest_ms = rest.start_ms
    else:
        return filled, None
    filled = filled[:limit]
    close = filled[-1].c if filled else position.close
    return filled, Position(position.instrument_id, rest_ms, close)
