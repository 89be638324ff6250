"""Pages of bars of any length add up to the whole; tokens survive a round trip."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bars.aggregation import Window
from api.bars.answers import Bar
from api.bars.intervals import DAY, MINUTE, in_zone, parse_interval
from api.bars.pages import MAX_TOKEN_CHARACTERS, Position, fill_page, parse_token
from contracts.messages import MAX_INSTRUMENT_ID
from contracts.times import MAX_TS_MS, MINUTE_MS

positions = st.builds(
    Position,
    st.integers(0, MAX_INSTRUMENT_ID),
    st.integers(0, MAX_TS_MS),
    st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
)


@given(positions)
def test_a_token_says_where_a_page_begins(position: Position) -> None:
    token = position.token(parse_interval("15m"), "asc")
    assert parse_token(token) == msgspec.structs.replace(position, of="15m")
    assert len(token) <= MAX_TOKEN_CHARACTERS


@pytest.mark.parametrize(
    "text",
    ["x", "AAAA", "é", "W10", "WzRd", "a b", "WzQsMCxudWxsXQ==!", "x" * 5000, "eyJpIjo0fQ"]
    + [
        Position(*parts).token(MINUTE, "asc")
        for parts in ((-1, 0), (4, -1), (2**63, 0), (4, 0, -1.0), (4, 0, 0.0))
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be the `next_page_token` of an answer"):
        parse_token(text)


def test_a_page_ends_before_the_next_one_though_a_day_was_skipped() -> None:
    days = in_zone(DAY, ZoneInfo("Pacific/Apia"))
    last_s, next_s = (datetime(2011, 12, day, 12, tzinfo=UTC).timestamp() for day in (28, 30))
    first, after = (days.start_of(1000 * int(at_s)) for at_s in (last_s, next_s))
    window, rest = Window(first, days.moved(after, 3), days), Position(4, after)
    bar = msgspec.structs.replace(flat(1), t=first)
    page, position = fill_page([bar], window, Position(4, first), rest, 9, 100 * MINUTE_MS)
    assert [bar.t for bar in page] == [first, days.moved(first, 1)]
    assert position == Position(4, after, bar.c)


def flat(minute: int) -> Bar:
    price = minute + 1.5
    return Bar(minute * MINUTE_MS, price, price, price, price, 1, 1, price, closed=True)
