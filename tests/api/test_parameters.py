"""Parsing of paths and queries."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.parameters import exclude_parameter, instrument_parameter
from api.http.parsing import (
    is_instrument,
    parse_instrument_id,
    parse_time,
    parse_user_id,
)
from contracts.messages import MAX_INSTRUMENT_ID, user_id_rule_broken
from contracts.times import MAX_TS_MS


@given(st.integers(0, MAX_TS_MS))
def test_a_time_may_be_epoch_milliseconds(ms: int) -> None:
    assert parse_time(str(ms)) == ms


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


@given(st.text())
def test_no_time_raises_anything_but_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_time(text)


@given(st.integers(0, MAX_INSTRUMENT_ID))
def test_an_instrument_is_a_number_of_63_bits(number: int) -> None:
    assert parse_instrument_id(str(number)) == number


@given(st.text(st.characters(codec="utf-8")))
def test_a_user_has_1_to_128_bytes_of_utf_8(text: str) -> None:
    if not 1 <= len(text.encode()) <= 128:
        reason = "must have 1 to 128 bytes|without U.FFFD"
    elif user_id_rule_broken(text) is not None:
        reason = "U.0000|without U.FFFD"
    else:
        assert parse_user_id(text) == text
        return
    with pytest.raises(ValueError, match=reason):
        parse_user_id(text)


@given(st.text(min_size=1))
def test_an_instrument_is_named_by_its_id_if_that_is_all_digits_else_by_its_symbol(
    text: str,
) -> None:
    parse = instrument_parameter(lambda symbol: 7 if symbol == text else None).parse
    if is_instrument(text):
        with contextlib.suppress(ValueError):  # too large for an id
            assert parse(text) == int(text)
    else:
        assert parse(text) == 7


def test_a_list_names_instruments_either_way_and_an_unknown_symbol_excludes_nothing() -> None:
    exclude = exclude_parameter({"AAPL": 4}.get)
    assert exclude.parse("AAPL, 5,,004,XYZ") == {4, 5}
    with pytest.raises(ValueError, match="'X Y' is neither a valid id nor a valid symbol"):
        exclude.parse("AAPL,X Y")
