"""What the sender of an invalid value reads: field, rule, value and remedy."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.decoding import decode_alone
from contracts.feedback import Reaction
from contracts.input_rules import strict
from contracts.instruments import Instrument
from contracts.messages import Interaction, Quote
from contracts.reasons import violation

QUOTE: dict[str, Any] = {"instrument_id": 4, "price": 1.5, "ts": 1796083200000}
INSTRUMENT: dict[str, Any] = {"instrument_id": 4, "symbol": "A", "name": "A"}
EVENT: dict[str, Any] = {"user_id": "ABC", "instrument_id": 4, "ts": 1796083200000}
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
