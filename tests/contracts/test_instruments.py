"""The rules of `instruments`: key and value name the same instrument."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.instruments import (
    MAX_INSTRUMENT_BYTES,
    SYMBOL_RULE,
    Instrument,
    decode_instrument,
    decode_instrument_record,
    encode_instrument,
    instrument_key,
)
from contracts.messages import MAX_INSTRUMENT_ID

LEAST: dict[str, Any] = {"instrument_id": 4, "symbol": "AAPL", "name": "Apple Inc."}

ids = st.integers(0, MAX_INSTRUMENT_ID)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
instruments = st.builds(
    Instrument,
    ids,
    symbol=st.from_regex(r"[A-Za-z0-9._:/-]{1,32}", fullmatch=True).filter(
        re.compile(SYMBOL_RULE).search
    ),
    name=texts,
    categories=st.lists(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True), max_size=20).map(
        tuple
    ),
    listed=st.booleans(),
    attributes=st.dictionaries(
        texts,
        st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8"), max_size=20),
        max_size=8,
    ),
)


def value_of(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in (LEAST | changes).items() if v is not ...}).encode()


UNREACHABLE = [
    *(".", "..", "../A", "A/..", "A/./B", "/A", "A/", "A//B", "/"),
    *("GELA/bars", "GELA/similar", "A/B/bars", "GELA/Bars", "GELA/SIMILAR"),
]
"""Symbols whose path is another resource's."""


@pytest.mark.parametrize("symbol", UNREACHABLE)
def test_a_symbol_whose_path_is_of_something_else_is_none(symbol: str) -> None:
    with pytest.raises(ValueError, match="symbol"):
        decode_instrument(value_of(symbol=symbol))


@pytest.mark.parametrize(
    "symbol",
    [
        *("BTC/USD", "A.B", "...", ".A", "bars", "BARS/X", "A/BARSX", "A/..."),
        *("AAPL", "BRK.B", "XNAS:AAPL", "85123A", "22423", "a"),
    ],
)
def test_a_symbol_whose_path_is_its_own_is_taken_even_digits_alone(symbol: str) -> None:
    assert decode_instrument(value_of(symbol=symbol)).symbol == symbol


@given(instruments)
def test_an_instrument_is_read_as_it_was_written(instrument: Instrument) -> None:
    value, key = encode_instrument(instrument), instrument_key(instrument.instrument_id)
    assert decode_instrument(value) == instrument
    assert decode_instrument_record(key, value) == (instrument.instrument_id, instrument)


RULES: dict[str, tuple[Any, ...]] = {
    "instrument_id": (..., -1, 2**63, "4"),
    "symbol": (..., "", "A" * 33, "BANK CHARGES", "AAPL\n", "ÄPFL"),
    "name": (..., "", "x" * 201),
    "categories": (["tech"] * 21, ["te ch"], ["tech\n"], [""], ["x" * 65]),
    "listed": (1,),
    "attributes": (
        *({"": 1}, {"a": None}, {"a": [1]}, {"a": 2**63}),
        {str(n): n for n in range(51)},
    ),
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in RULES.items() for value in values]
)
def test_a_broken_rule_is_reported_with_the_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{field}[.\[:]"):
        decode_instrument(value_of(**{field: value}))


def test_the_largest_instrument_is_accepted_and_one_byte_more_is_not() -> None:
    room = MAX_INSTRUMENT_BYTES - len(encode_instrument(_with_note("")))
    assert decode_instrument(encode_instrument(_with_note("x" * room)))
    with pytest.raises(ValueError, match="8193 bytes of JSON, at most 8192"):
        encode_instrument(_with_note("x" * (room + 1)))
    with pytest.raises(ValueError, match="8193 bytes of JSON, at most 8192"):
        decode_instrument(msgspec.json.encode(_with_note("x" * (room + 1))))


def _with_note(note: str) -> Instrument:
    return Instrument(4, symbol="AAPL", name="Apple Inc.", attributes={"note": note})


@given(ids)
def test_a_record_without_a_value_takes_out_the_instrument_that_its_key_names(number: int) -> None:
    assert decode_instrument_record(instrument_key(number), None) == (number, None)


@pytest.mark.parametrize(
    "key", [None, b"", b"04", b"+4", b" 4", b"4 ", b"-4", b"x", b"9223372036854775808", b"9" * 5000]
)
def test_a_key_that_is_no_id_as_everyone_writes_it_breaks_a_rule(key: bytes | None) -> None:
    with pytest.raises(ValueError, match="of a tombstone is not an instrument id"):
        decode_instrument_record(key, None)
    with pytest.raises(ValueError, match="is not that of instrument_id 4: produce with"):
        decode_instrument_record(key, value_of())
