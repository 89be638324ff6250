"""A deployment's additional input rules, and what the sender of an invalid value reads."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.batches import decode_interactions, decode_quotes
from contracts.decoding import UNKNOWN_FIELDS_NAMED, decode_alone
from contracts.feedback import Reaction, decode_feedback
from contracts.input_rules import ANY, InputRules, strict
from contracts.instruments import Instrument, decode_instrument
from contracts.messages import Interaction, Quote, decode_interaction, decode_quote
from contracts.reasons import violation
from tests.archive.samples import feedback

NOW_MS = 1_700_000_000_000
QUOTE = {"instrument_id": 4, "price": 30.72, "size": 100, "ts": NOW_MS}
EVENT = {"user_id": "ABC", "instrument_id": 4, "ts": NOW_MS}
INSTRUMENT = {"instrument_id": 4, "symbol": "AAPL", "name": "Apple Inc."}
SINCE_1990 = InputRules(631_152_000_000)
STRICT = InputRules(refuses_unknown_fields=True)
KINDS: list[tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = [
    (decode_quotes, decode_quote, QUOTE),
    (decode_interactions, decode_interaction, EVENT),
]
of_each_kind = pytest.mark.parametrize(("decode", "decode_one", "good"), KINDS)


def encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


@of_each_kind
def test_an_event_time_in_seconds_is_refused_alone_and_the_earliest_one_taken(
    decode: Callable[..., Any], decode_one: Callable[..., Any], good: dict[str, Any]
) -> None:
    times = [NOW_MS, NOW_MS // 1000, SINCE_1990.earliest_ms - 1, SINCE_1990.earliest_ms, NOW_MS]
    values = [encoded(good | {"ts": ts}) for ts in times]
    columns, rejections = decode(values, NOW_MS, SINCE_1990)
    assert columns.index.tolist() == [0, 3, 4]
    assert [place for place, _ in rejections] == [1, 2]
    assert "ts 1700000000 is before 1990-01-01 (EARLIEST_EVENT_DATE)" in rejections[0].reason
    with pytest.raises(ValueError, match="epoch milliseconds"):
        decode_one(values[1], NOW_MS, SINCE_1990)
    assert decode(values, NOW_MS)[1] == []


def test_feedback_in_seconds_is_refused() -> None:
    _, _, value = feedback("ABC", 4, NOW_MS // 1000)
    assert decode_feedback(value, NOW_MS)
    with pytest.raises(ValueError, match="EARLIEST_EVENT_DATE"):
        decode_feedback(value, NOW_MS, SINCE_1990)


@of_each_kind
def test_a_field_that_is_not_known_is_counted_by_name_and_its_message_taken(
    decode: Callable[..., Any], decode_one: Callable[..., Any], good: dict[str, Any]
) -> None:
    misspelt, other = encoded(good | {"qty": 2}), encoded({"type": "x", **good})
    bad = encoded(good | {"qty": 2, "instrument_id": -1})
    columns, rejections = decode([misspelt, encoded(good), other, bad, misspelt], NOW_MS)
    assert columns.index.tolist() == [0, 1, 2, 4]
    assert [place for place, _ in rejections] == [3]
    assert columns.unknown_fields == {"qty": 2, "type": 1}
    assert decode_one(misspelt, NOW_MS) == decode_one(encoded(good), NOW_MS)


@of_each_kind
def test_it_is_refused_by_a_setting_with_a_reason_that_names_it(
    decode: Callable[..., Any], decode_one: Callable[..., Any], good: dict[str, Any]
) -> None:
    misspelt = encoded(good | {"qty": 2})
    columns, rejections = decode([encoded(good), misspelt], NOW_MS, STRICT)
    assert columns.index.tolist() == [0]
    assert columns.unknown_fields == {}
    assert [(at, reason.partition(", known: ")[0]) for at, reason in rejections] == [
        (1, "qty: unknown field")
    ]
    with pytest.raises(ValueError, match=r"^qty: unknown"):
        decode_one(misspelt, NOW_MS, STRICT)
    assert decode_one(encoded(good), NOW_MS, STRICT)


@of_each_kind
def test_where_each_record_has_such_a_field_some_are_counted_and_all_are_taken(
    decode: Callable[..., Any], decode_one: Callable[..., Any], good: dict[str, Any]
) -> None:
    n = 3 * UNKNOWN_FIELDS_NAMED
    values = [encoded(good | {"venue": "X"})] * n + [b"bad"] + [encoded(good)]
    columns, rejections = decode(values, NOW_MS)
    assert columns.index.tolist() == [*range(n), n + 1]
    assert [place for place, _ in rejections] == [n]
    assert columns.unknown_fields == {"venue": UNKNOWN_FIELDS_NAMED}


def test_an_instruments_misspelt_field_is_found_or_refused() -> None:
    misspelt = encoded(INSTRUMENT | {"categorys": ["tech"]})
    found = Counter[str]()
    assert decode_instrument(misspelt, ANY, found)
    assert decode_instrument(encoded(INSTRUMENT), ANY, found)
    assert found == {"categorys": 1}
    with pytest.raises(ValueError, match="categorys"):
        decode_instrument(misspelt, STRICT)


SHOWN: dict[str, Any] = {"type": "view", "request_id": "r", **EVENT, "position": 1}


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (Quote, {**QUOTE, "price": "15,47"},
         'price: must be a number, got "15,47": write 15.47, without quotes'),
        (Quote, {**QUOTE, "price": "x" * 99}, f'price: must be a number, got "{"x" * 59}...'),
        (Quote, {**QUOTE, "price": "0" * 99}, f'must be a number, got "{"0" * 59}...'),
        (Quote, {**QUOTE, "ts": "2026-12-01T01:00+01:00"},
         'a whole number, got "2026-12-01T01:00+01:00": write 1796083200000'),
        (Quote, {**QUOTE, "ts": "1796083200000"}, '"1796083200000": write 1796083200000'),
        (Quote, {**QUOTE, "ts": "9" * 5000}, f'whole number, got "{"9" * 59}...'),
        (Quote, {**QUOTE, "ts": 1796083200000123}, "1796083200000123: write 1796083200000"),
        (Quote, {**QUOTE, "ts": 1796083200000123456}, "1796083200000123456: write 1796083200000"),
        (Quote, {**QUOTE, "ts": "yesterday"},
         'ts: must be epoch milliseconds, a whole number, got "yesterday"'),
        (Quote, {**QUOTE, "sizes": 1},
         f"sizes: unknown field, did you mean size? known: {', '.join(Quote.__struct_fields__)}"),
        (Quote, [], "must be an object, got []"),
        (Instrument, {**INSTRUMENT, "symbol": "BRK B"},
         'with no part `.`, `..` or empty, got "BRK B": write BRK.B'),
        (Instrument, {**INSTRUMENT, "categories": ["a", "b c"]},
         'categories[1]: must be text of letters, digits and . _ -, got "b c"'),
        (Instrument, {**INSTRUMENT, "name": ""},
         'name: must be text of at least 1 character, got ""'),
        (Instrument, {**INSTRUMENT, "listed": "yes"},
         'listed: must be true or false, got "yes"'),
        (Interaction, {**EVENT, "user_id": 12}, "user_id: must be text"),
        (Reaction, SHOWN, 'type: must be impression or click, got "view"'),
    ],
)  # fmt: skip
def test_a_reason_names_the_field_the_rule_the_value_and_the_remedy(
    kind: type[Any], value: object, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(reason)}$"):
        decode_alone(msgspec.json.Decoder(strict(kind)), json.dumps(value).encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.text("0123456789.,+-eTZ:", max_size=30) | st.integers(1, 6000).map("9".__mul__),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@given(st.sampled_from([Quote, Interaction, Instrument]), json_values, st.data())
def test_no_value_of_a_field_keeps_a_reason_from_being_made(
    kind: type[Any], value: object, data: st.DataObject
) -> None:
    good = {Quote: QUOTE, Interaction: EVENT, Instrument: INSTRUMENT}[kind]
    field = data.draw(st.sampled_from(kind.__struct_fields__) | st.text(max_size=5))
    record = json.dumps({**good, field: value}).encode()
    try:
        msgspec.json.Decoder(strict(kind)).decode(record)
    except msgspec.ValidationError as error:
        found = violation(error, record, kind)
        assert found.field.startswith(field[:60]) or not found.field
        assert len(str(found)) < 1_000
    except msgspec.DecodeError:
        pass  # it has no field
