"""Messages about instruments and feedback, and of users who leave: round trips and rules."""

import contextlib
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.feedback import (
    FEEDBACK_TYPES,
    MAX_POSITION,
    MAX_SHOWN,
    NAME,
    Feedback,
    RequestId,
    decode_feedback,
    encode_feedback,
    encode_shown,
    feedback_key,
    may_be_of,
    parse_request_id,
)
from contracts.instruments import (
    MAX_INSTRUMENT_BYTES,
    SYMBOL_RULE,
    Instrument,
    decode_instrument,
    decode_instrument_record,
    encode_instrument,
    instrument_key,
)
from contracts.messages import MAX_AHEAD_MS, MAX_INSTRUMENT_ID, MAX_USER_ID_BYTES
from contracts.times import MAX_TS_MS
from contracts.tombstones import Tombstone, decode_tombstone, encode_tombstone
from tests.contracts.test_messages import broken, changed, user_ids

AAPL: dict[str, Any] = {"instrument_id": 4, "symbol": "AAPL", "name": "Apple Inc."}

instrument_ids = st.integers(0, MAX_INSTRUMENT_ID)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
instruments = st.builds(
    Instrument,
    instrument_ids,
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

UNREACHABLE = [
    *(".", "..", "../A", "A/..", "A/./B", "/A", "A/", "A//B", "/"),
    *("GELA/bars", "GELA/similar", "A/B/bars", "GELA/Bars", "GELA/SIMILAR"),
]
"""Symbols whose path is another resource's."""


@pytest.mark.parametrize("symbol", UNREACHABLE)
def test_a_symbol_whose_path_is_of_something_else_is_none(symbol: str) -> None:
    with pytest.raises(ValueError, match="symbol"):
        decode_instrument(changed(AAPL, symbol=symbol))


@pytest.mark.parametrize(
    "symbol",
    [
        *("BTC/USD", "A.B", "...", ".A", "bars", "BARS/X", "A/BARSX", "A/..."),
        *("AAPL", "BRK.B", "XNAS:AAPL", "85123A", "22423", "a"),
    ],
)
def test_a_symbol_whose_path_is_its_own_is_taken_even_digits_alone(symbol: str) -> None:
    assert decode_instrument(changed(AAPL, symbol=symbol)).symbol == symbol


@given(instruments)
def test_an_instrument_is_read_as_it_was_written(instrument: Instrument) -> None:
    value, key = encode_instrument(instrument), instrument_key(instrument.instrument_id)
    assert decode_instrument(value) == instrument
    assert decode_instrument_record(key, value) == (instrument.instrument_id, instrument)


RULES_OF_INSTRUMENTS: dict[str, tuple[Any, ...]] = {
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


def test_the_largest_instrument_is_accepted_and_one_byte_more_is_not() -> None:
    room = MAX_INSTRUMENT_BYTES - len(encode_instrument(_with_note("")))
    assert decode_instrument(encode_instrument(_with_note("x" * room)))
    with pytest.raises(ValueError, match="8193 bytes of JSON, at most 8192"):
        encode_instrument(_with_note("x" * (room + 1)))
    with pytest.raises(ValueError, match="8193 bytes of JSON, at most 8192"):
        decode_instrument(msgspec.json.encode(_with_note("x" * (room + 1))))


def _with_note(note: str) -> Instrument:
    return Instrument(4, symbol="AAPL", name="Apple Inc.", attributes={"note": note})


@given(instrument_ids)
def test_a_record_without_a_value_takes_out_the_instrument_that_its_key_names(number: int) -> None:
    assert decode_instrument_record(instrument_key(number), None) == (number, None)


@pytest.mark.parametrize(
    "key", [None, b"", b"04", b"+4", b" 4", b"4 ", b"-4", b"x", b"9223372036854775808", b"9" * 5000]
)
def test_a_key_that_is_no_id_as_everyone_writes_it_breaks_a_rule(key: bytes | None) -> None:
    with pytest.raises(ValueError, match="of a tombstone is not an instrument id"):
        decode_instrument_record(key, None)
    with pytest.raises(ValueError, match="is not that of instrument_id 4: produce with"):
        decode_instrument_record(key, changed(AAPL))


NOW_MS = 1_700_000_000_000
TOKEN = "Jq3xT0mBzv9cWd2LrK5uYA"
SIGNATURE = "bRqW9nT2xYc0LmVd8sKfPA"
REQUEST_ID = f"default.20210815T211000Z-7.history.BAA.{TOKEN}{SIGNATURE}"
GOOD = {
    "type": "click",
    "request_id": REQUEST_ID,
    "user_id": "ABC",
    "instrument_id": 4,
    "position": 1,
    "ts": NOW_MS,
}
NO_REQUEST_IDS = [
    "",
    "x",
    f"default.history.{TOKEN}",
    f"..history.{TOKEN}",
    REQUEST_ID + "A",
    REQUEST_ID + "\n",
    "\n" + REQUEST_ID,
    REQUEST_ID.replace("default", "dé"),
    REQUEST_ID.replace("default", "v" * 33),
    REQUEST_ID.replace("20210815T211000Z", "g" * 33),
    REQUEST_ID.replace(TOKEN, "٤" * 22),
    REQUEST_ID.replace("BAA", "A" * 268),
    REQUEST_ID.replace(".BAA", ".BAA.AQ"),
    REQUEST_ID.replace(".BAA", ""),
    REQUEST_ID.removesuffix(SIGNATURE),
]
RULES_OF_FEEDBACK: dict[str, tuple[Any, ...]] = {
    "type": (..., "purchase", None),
    "request_id": (..., 5, *NO_REQUEST_IDS),
    "user_id": (..., "", "x" * (MAX_USER_ID_BYTES + 1), "é" * MAX_USER_ID_BYTES),
    "instrument_id": (..., -1, MAX_INSTRUMENT_ID + 1, "4"),
    "position": (..., 0, MAX_POSITION + 1, 1.5),
    "ts": (-1, MAX_TS_MS + 1, NOW_MS + MAX_AHEAD_MS + 1),
}

names = st.from_regex(NAME, fullmatch=True)
request_ids = st.builds(
    lambda *parts: ".".join(parts),
    names,
    names,
    names,
    st.from_regex("[A-Za-z0-9_-]{0,267}", fullmatch=True),
    st.from_regex("[A-Za-z0-9_-]{44}", fullmatch=True),
)
feedback = st.builds(
    Feedback,
    type=st.sampled_from(FEEDBACK_TYPES),
    request_id=request_ids,
    user_id=user_ids,
    instrument_id=st.integers(0, MAX_INSTRUMENT_ID),
    position=st.integers(1, MAX_POSITION),
    ts=st.integers(0, NOW_MS + MAX_AHEAD_MS),
)


@given(feedback)
def test_feedback_is_read_back_as_it_was_written(message: Feedback) -> None:
    assert decode_feedback(encode_feedback(message), NOW_MS) == message
    assert feedback_key(message) == message.user_id.encode()


@pytest.mark.parametrize(
    ("decode", "good", "field", "value"),
    [
        *broken(decode_instrument, AAPL, RULES_OF_INSTRUMENTS),
        *broken(partial(decode_feedback, now_ms=NOW_MS), GOOD, RULES_OF_FEEDBACK),
    ],
)
def test_each_broken_rule_has_a_reason_that_names_the_field(
    decode: Callable[[bytes], object], good: dict[str, Any], field: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=rf"^{field}[ .\[:]") as caught:
        decode(changed(good, **{field: value}))
    assert len(str(caught.value)) <= 500


@given(st.binary())
def test_no_bytes_whatever_raise_anything_but_a_reason(value: bytes) -> None:
    with contextlib.suppress(ValueError):
        decode_feedback(value, NOW_MS)


@given(names, names, names)
def test_a_request_id_says_what_the_answer_was_made_with(
    variant: str, generation: str, source: str
) -> None:
    text = f"{variant}.{generation}.{source}.BAA.{TOKEN}{SIGNATURE}"
    parts = RequestId(variant, generation, source, "BAA", TOKEN, SIGNATURE)
    assert parse_request_id(text) == parts
    assert parse_request_id(text.replace(".BAA.", "..")) == parts._replace(shown="")


@given(st.lists(st.integers(0, MAX_INSTRUMENT_ID), max_size=MAX_SHOWN), st.integers(0, 2**16 - 1))
def test_a_request_id_distinguishes_shown_items_from_the_rest_of_a_catalog(
    items: list[int], other: int
) -> None:
    request = parse_request_id(f"v.g.history.{encode_shown(items)}.{TOKEN}{SIGNATURE}")
    assert all(may_be_of(request, item) for item in items)
    assert may_be_of(request, other) == (other in {item % 2**16 for item in items})


tombstones = st.builds(
    Tombstone,
    st.text(st.characters(codec="utf-8", exclude_characters=".\0\ufffd"), min_size=1, max_size=30),
    *(st.none() | st.integers(0, MAX_TS_MS) for _ in range(2)),
)


@given(tombstones)
def test_a_tombstone_is_read_back_as_it_was_written(tombstone: Tombstone) -> None:
    key, headers = encode_tombstone(tombstone)
    assert decode_tombstone(key, tuple(headers)) == tombstone


@pytest.mark.parametrize(
    ("key", "headers", "reason"),
    [
        (None, (), "no value, and no key"),
        (b"", (), "no value, and no key"),
        (b"\xff", (), "its key is not UTF-8"),
        (b"x" * 129, (), "user_id has 129 bytes"),
        (b"a\0b", (), "user_id contains U\\+0000"),
        (b"../x", (), "user_id contains `.` or `..` as a path segment"),
        (b"A", (("last_event_before", b"yesterday"),), "not epoch ms in ASCII"),
        (b"A", (("last_event_before", b"-1"),), "not epoch ms in ASCII"),
        (b"A", (("last_event_before", b""),), "not epoch ms in ASCII"),
        (b"A", (("last_event_before", None),), "not epoch ms in ASCII"),
        (b"A", (("last_event_before", b"1" * 16),), "not epoch ms in ASCII"),
        (b"A", (("erased_at", b"now"),), "header erased_at is b'now', not epoch ms in ASCII"),
    ],
)
def test_what_names_no_user_is_an_error(
    key: bytes | None, headers: tuple[tuple[str, bytes | None], ...], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_tombstone(key, headers)


@pytest.mark.parametrize(
    ("before_ms", "last_event_ms", "applies"),
    [(None, 10, True), (10, 9, True), (10, 10, False), (10, -1, True)],
)
def test_a_user_who_came_back_stays(
    before_ms: int | None, last_event_ms: int, *, applies: bool
) -> None:
    assert Tombstone("A", before_ms).applies_to(last_event_ms) == applies


@pytest.mark.parametrize(
    ("tombstone", "last_event_ms", "before_ms"),
    [
        (Tombstone("A"), -1, 0),
        (Tombstone("A"), 10, 11),
        (Tombstone("A", erased_at_ms=20), -1, 20),
        (Tombstone("A", erased_at_ms=20), 10, 20),
        (Tombstone("A", erased_at_ms=20), 30, 31),  # of a clock that runs ahead
        (Tombstone("A", last_event_before_ms=20), 10, 0),
    ],
)
def test_events_of_before_an_erasure_are_left_out(
    tombstone: Tombstone, last_event_ms: int, before_ms: int
) -> None:
    assert tombstone.leaves_out_before_ms(last_event_ms) == before_ms
