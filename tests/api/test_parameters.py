"""Parsing of paths and queries."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from api.http.parsing import (
    parse_time,
)
from contracts.times import MAX_TS_MS


@given(
    ms=st.integers(86_400_000, MAX_TS_MS - 86_400_000),
    offset_minutes=st.integers(-14 * 60, 14 * 60),
    encoded=st.booleans(),
)
def test_a_time_may_be_rfc_3339_of_any_offset_even_with_an_unencoded_plus(
    *, ms: int, offset_minutes: int, encoded: bool
) -> None:
    zone = timezone(timedelta(minutes=offset_minutes))
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)
    text = moment.isoformat(timespec="milliseconds")
    assert parse_time(text if encoded else text.replace("+", " ")) == ms
