"""Messages survive a round trip, an invalid one is rejected alone, and its sender reads why."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.batches import decode_interactions, decode_quotes
from contracts.decoding import UNKNOWN_FIELDS_NAMED, decode_alone
from contracts.event_types import BUILT_IN
from contracts.feedback import Reaction, decode_feedback
from contracts.input_rules import ANY, InputRules, strict
from contracts.instruments import Instrument, decode_instrument
from contracts.messages import (
    MAX_AHEAD_MS,
    MAX_AMOUNT,
    MAX_INSTRUMENT_ID,
    MAX_USER_ID_BYTES,
    MIN_AMOUNT,
    QUOTE_COLUMNS,
    Interaction,
    Quote,
    Rejection,
    decode_interaction,
    decode_quote,
    encode,
    interaction_rule_broken,
    user_id_rule_broken,
)
from contracts.reasons import violation
from contracts.times import MAX_TS_MS
from tests.archive.samples import feedback

NOW_MS = 1_700_000_000_000
GOOD_QUOTE = {"instrument_id": 4, "price": 30.72, "size": 100, "ts": NOW_MS}
OPTIONAL = [column.name for column in QUOTE_COLUMNS if not column.is_required]
GOOD_INTERACTION = {
    "user_id": "ABC",
    "instrument_id": 4,
    "event": "trade",
    "price": 10.273,
    "quantity": 2,
    "ts": NOW_MS,
}

instrument_ids = st.integers(0, MAX_INSTRUMENT_ID)
times = st.integers(0, NOW_MS + MAX_AHEAD_MS)
amounts = st.floats(MIN_AMOUNT, MAX_AMOUNT)
user_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=MAX_USER_ID_BYTES).filter(
    lambda user_id: user_id_rule_broken(user_id) is None
)
quotes = st.builds(
    Quote,
    instrument_id=instrument_ids,
    price=amounts,
    ts=times,
    **dict.fromkeys(OPTIONAL, st.just(0.0) | amounts),
)
interactions = st.builds(
    Interaction,
    user_id=user_ids,
    instrument_id=instrument_ids,
    event=st.sampled_from(list(BUILT_IN)),
    price=st.none() | amounts,
    quantity=st.none() | amounts,
    ts=times,
)
Decode = Callable[[Sequence[bytes | None], Any], tuple[Any, list[Rejection]]]


def changed(good: dict[str, Any], **fields: Any) -> bytes:
    """Return the record value of a message with other fields; one that is `...` is left out."""
    whole = {name: value for name, value in (good | fields).items() if value is not ...}
    return json.dumps(whole).encode()


def broken(
    decode: Decode, good: dict[str, Any], rules: Mapping[str, Iterable[Any]]
) -> list[tuple[Decode, dict[str, Any], str, Any]]:
    """Return each value of each field that breaks a rule, with a good message and its decoder."""
    return [(decode, good, field, value) for field, values in rules.items() for value in values]


@given(st.lists(interactions, max_size=20))
def test_interactions_are_read_back_as_they_were_written(messages: list[Interaction]) -> None:
    columns, rejections = decode_interactions([encode(message) for message in messages], NOW_MS)
    assert rejections == []
    assert len(columns) == len(messages)
    read = zip(
        columns.user_id,
        columns.instrument_id.tolist(),
        columns.weight.tolist(),
        columns.ts_ms.tolist(),
        strict=True,
    )
    assert list(read) == [(m.user_id, m.instrument_id, BUILT_IN[m.event], m.ts) for m in messages]
    assert [None if np.isnan(value) else value for value in columns.value] == [
        m.price and m.price * (1 if m.quantity is None else m.quantity) for m in messages
    ]
    for message in messages:
        assert decode_interaction(encode(message), NOW_MS) == message
        assert interaction_rule_broken(InputRules())(message) is None


def test_what_is_optional_may_be_absent() -> None:
    columns, rejections = decode_quotes(
        [changed(GOOD_QUOTE, **dict.fromkeys(OPTIONAL, ...))], NOW_MS
    )
    assert rejections == []
    assert [columns.columns[name].tolist() for name in OPTIONAL] == [[0]] * len(OPTIONAL)
    bare = changed(GOOD_INTERACTION, event=..., price=..., quantity=...)
    events, rejections = decode_interactions([bare], NOW_MS)
    assert rejections == []
    assert events.weight.tolist() == [BUILT_IN["trade"]]


UNREACHABLE = [
    *("\ufffd", "a\ufffdb", "\0", "a\0b"),
    *(".", "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b", "/..", "../", "a//../b"),
]
"""Ids that no path can name: an erasure could not, either."""
REACHABLE = [
    *("...", "a.b", ".a", "..a", "a..", "a/.b", "a/...", "/", "a//b", "a\nb", "..\n"),
    "é@x.org",
]
LATEST_MS = NOW_MS + MAX_AHEAD_MS
TOO_LONG = ("x" * (MAX_USER_ID_BYTES + 1), "é" * (MAX_USER_ID_BYTES // 2 + 1))
QUOTE_RULES = {
    "instrument_id": (..., None, -1, 2**63, 4.5, "4", True),
    "price": (..., None, 0, -0.01, "30.72", 5e-324, 1e308),
    **dict.fromkeys(OPTIONAL, (5e-324, 1e308, -1, None, "100")),
    "ts": (..., None, -1, 1.5, "now", MAX_TS_MS + 1, LATEST_MS + 1),
}
INTERACTION_RULES = {
    "user_id": (..., None, "", 17850, *TOO_LONG, *UNREACHABLE),
    "instrument_id": (..., -1, 2**63, "4"),
    "event": ("sell", "TRADE", None, 3),
    "price": (0, -1, "1", 5e-324, 1e308),
    "quantity": (5e-324, 1e308, 0, -2, "2"),
    "ts": (..., -1, "1629061628123", LATEST_MS + 1),
}
BROKEN_QUOTES = broken(decode_quotes, GOOD_QUOTE, QUOTE_RULES)
BROKEN = [*BROKEN_QUOTES, *broken(decode_interactions, GOOD_INTERACTION, INTERACTION_RULES)]


@pytest.mark.parametrize("user_id", REACHABLE)
def test_an_id_that_a_path_can_name_is_one(user_id: str) -> None:
    (event,) = decode_interactions([changed(GOOD_INTERACTION, user_id=user_id)], NOW_MS)[0].user_id
    assert event == user_id


@pytest.mark.parametrize(("decode", "good", "field", "value"), BROKEN)
def test_what_breaks_a_rule_is_rejected_alone_with_a_reason_that_names_the_field(
    decode: Decode, good: dict[str, Any], field: str, value: Any
) -> None:
    neighbor = changed(good)
    columns, rejections = decode([neighbor, changed(good, **{field: value}), neighbor], NOW_MS)
    assert columns.index.tolist() == [0, 2]
    assert columns.ts_ms.tolist() == [NOW_MS, NOW_MS]
    ((place, reason),) = rejections
    assert place == 1
    assert field in reason


NO_MESSAGES = [
    (None, "no value"),
    (b"", "truncated"),
    (b"{", "truncated"),
    (b"not JSON", "malformed"),
    (b"null", "must be an object"),
    (b"[]", "must be an object"),
    (b"[" * 100_000, "must be an object"),
    (b'{"x":' + b"[" * 100_000, "recursion"),
    (b'{"user_id":"\xff","instrument_id":"\xff"}', ""),
    (b'{"user_id":"\\ud800","instrument_id":4,"price":NaN,"ts":1}', "malformed"),
    (b'{"user_id":"a","instrument_id":4,"price":1e999,"ts":1}', "price"),
]


@pytest.mark.parametrize("decode", [decode_quotes, decode_interactions])
@pytest.mark.parametrize(("value", "reason"), NO_MESSAGES)
def test_what_is_no_message_at_all_is_rejected_alone(
    decode: Decode, value: bytes | None, reason: str
) -> None:
    good = changed(GOOD_QUOTE | GOOD_INTERACTION)
    columns, rejections = decode([good, value, good], NOW_MS)
    assert columns.index.tolist() == [0, 2]
    assert [rejection.index for rejection in rejections] == [1]
    assert rejections[0].reason
    assert reason in rejections[0].reason


@given(st.lists(st.binary(max_size=40) | st.none(), max_size=10))
def test_no_bytes_whatever_make_decoding_fail(values: list[bytes | None]) -> None:
    for decode in (decode_quotes, decode_interactions):
        columns, rejections = decode(values, NOW_MS)
        places = [*columns.index.tolist(), *(rejection.index for rejection in rejections)]
        assert sorted(places) == list(range(len(values)))


@given(st.lists(st.sampled_from([*BROKEN_QUOTES, *NO_MESSAGES]) | quotes, max_size=15))
def test_quotes_are_read_back_as_they_were_written_in_any_mix_with_bad_ones(
    batch: list[Any],
) -> None:
    values = [
        encode(one) if isinstance(one, Quote) else one[0] if one in NO_MESSAGES
        else changed(one[1], **{one[2]: one[3]})
        for one in batch
    ]  # fmt: skip
    columns, rejections = decode_quotes(values, NOW_MS)
    good = [place for place, one in enumerate(batch) if isinstance(one, Quote)]
    assert columns.index.tolist() == good
    for name in Quote.__struct_fields__:
        assert columns.columns[name].tolist() == [getattr(batch[place], name) for place in good]
    bad = sorted(set(range(len(batch))) - set(good))
    assert [rejection.index for rejection in rejections] == bad


def test_an_event_time_may_lie_five_minutes_ahead_of_its_records_own_clock() -> None:
    value = changed(GOOD_QUOTE)
    clocks = np.array([NOW_MS, NOW_MS - MAX_AHEAD_MS, NOW_MS - MAX_AHEAD_MS - 60_000])
    columns, rejections = decode_quotes([value] * 3, clocks)
    assert columns.index.tolist() == [0, 1]
    assert rejections == [
        Rejection(2, f"ts {NOW_MS} is 6.0 minutes ahead of the clock, at most 5 are allowed")
    ]


EVENT = {"user_id": "ABC", "instrument_id": 4, "ts": NOW_MS}
INSTRUMENT = {"instrument_id": 4, "symbol": "AAPL", "name": "Apple Inc."}
SINCE_1990 = InputRules(631_152_000_000)
STRICT = InputRules(refuses_unknown_fields=True)


class Kind(NamedTuple):
    """Decoders of many values and of one, and a good message."""

    decode: Callable[..., Any]
    decode_one: Callable[..., Any]
    good: dict[str, Any]


of_each_kind = pytest.mark.parametrize(
    "kind",
    [
        Kind(decode_quotes, decode_quote, GOOD_QUOTE),
        Kind(decode_interactions, decode_interaction, EVENT),
    ],
)


@of_each_kind
def test_an_event_time_in_seconds_is_refused_alone_and_the_earliest_one_taken(kind: Kind) -> None:
    decode, decode_one, good = kind
    times = [NOW_MS, NOW_MS // 1000, SINCE_1990.earliest_ms - 1, SINCE_1990.earliest_ms, NOW_MS]
    values = [changed(good | {"ts": ts}) for ts in times]
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
def test_a_field_that_is_not_known_is_counted_by_name_and_its_message_taken(kind: Kind) -> None:
    decode, decode_one, good = kind
    misspelt, other = changed(good | {"qty": 2}), changed({"type": "x", **good})
    bad = changed(good | {"qty": 2, "instrument_id": -1})
    columns, rejections = decode([misspelt, changed(good), other, bad, misspelt], NOW_MS)
    assert columns.index.tolist() == [0, 1, 2, 4]
    assert [place for place, _ in rejections] == [3]
    assert columns.unknown_fields == {"qty": 2, "type": 1}
    assert decode_one(misspelt, NOW_MS) == decode_one(changed(good), NOW_MS)


@of_each_kind
def test_it_is_refused_by_a_setting_with_a_reason_that_names_it(kind: Kind) -> None:
    decode, decode_one, good = kind
    misspelt = changed(good | {"qty": 2})
    columns, rejections = decode([changed(good), misspelt], NOW_MS, STRICT)
    assert columns.index.tolist() == [0]
    assert columns.unknown_fields == {}
    assert [(at, reason.partition(", known: ")[0]) for at, reason in rejections] == [
        (1, "qty: unknown field")
    ]
    with pytest.raises(ValueError, match=r"^qty: unknown"):
        decode_one(misspelt, NOW_MS, STRICT)
    assert decode_one(changed(good), NOW_MS, STRICT)


@of_each_kind
def test_where_each_record_has_such_a_field_some_are_counted_and_all_are_taken(kind: Kind) -> None:
    decode, _, good = kind
    n = 3 * UNKNOWN_FIELDS_NAMED
    values = [changed(good | {"venue": "X"})] * n + [b"bad"] + [changed(good)]
    columns, rejections = decode(values, NOW_MS)
    assert columns.index.tolist() == [*range(n), n + 1]
    assert [place for place, _ in rejections] == [n]
    assert columns.unknown_fields == {"venue": UNKNOWN_FIELDS_NAMED}


def test_an_instruments_misspelt_field_is_found_or_refused() -> None:
    misspelt = changed(INSTRUMENT | {"categorys": ["tech"]})
    found = Counter[str]()
    assert decode_instrument(misspelt, ANY, found)
    assert decode_instrument(changed(INSTRUMENT), ANY, found)
    assert found == {"categorys": 1}
    with pytest.raises(ValueError, match="categorys"):
        decode_instrument(misspelt, STRICT)


SHOWN: dict[str, Any] = {"type": "view", "request_id": "r", **EVENT, "position": 1}


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (Quote, {**GOOD_QUOTE, "price": "15,47"},
         'price: must be a number, got "15,47": write 15.47, without quotes'),
        (Quote, {**GOOD_QUOTE, "price": "x" * 99}, f'price: must be a number, got "{"x" * 59}...'),
        (Quote, {**GOOD_QUOTE, "price": "0" * 99}, f'must be a number, got "{"0" * 59}...'),
        (Quote, {**GOOD_QUOTE, "ts": "2026-12-01T01:00+01:00"},
         'a whole number, got "2026-12-01T01:00+01:00": write 1796083200000'),
        (Quote, {**GOOD_QUOTE, "ts": "1796083200000"}, '"1796083200000": write 1796083200000'),
        (Quote, {**GOOD_QUOTE, "ts": "9" * 5000}, f'whole number, got "{"9" * 59}...'),
        (Quote, {**GOOD_QUOTE, "ts": 1796083200000123}, "1796083200000123: write 1796083200000"),
        (Quote, {**GOOD_QUOTE, "ts": 1796083200000123456}, "123456: write 1796083200000"),
        (Quote, {**GOOD_QUOTE, "ts": "1969-12-31"}, 'a whole number, got "1969-12-31"'),
        (Quote, {**GOOD_QUOTE, "ts": "yesterday"},
         'ts: must be epoch milliseconds, a whole number, got "yesterday"'),
        (Quote, {**GOOD_QUOTE, "sizes": 1},
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
    good = {Quote: GOOD_QUOTE, Interaction: EVENT, Instrument: INSTRUMENT}[kind]
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
