"""Parsing of write requests into messages."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.events.parsing import (
    MAX_REPORTED,
    InvalidEventsError,
    MalformedBodyError,
    parse_each,
    parse_events,
    parse_legacy,
)
from api.http.bodies import MAX_EVENTS
from contracts.input_rules import InputRules
from contracts.messages import MAX_AHEAD_MS, Interaction, Quote
from tests.contracts.test_messages import NOW_MS, interactions, quotes

QUOTE = {"type": "quote", "instrument_id": 4, "price": 30.72, "size": 100, "ts": 1629061628123}
TRADE = {"type": "interaction", "user_id": "ABC", "instrument_id": 4, "ts": 1629061628123}
LEGACY = {"userid": "ABC", "price": "10.273", "timestamp": "1629061628", "instrid": 4}

# A few: tests/contracts/test_messages.py has all rules.
BROKEN: list[tuple[dict[str, Any], str | None]] = [
    ({**QUOTE, "instrument_id": 2**63}, "instrument_id"),
    ({**QUOTE, "instrument_id": "XYZ"}, "instrument_id"),
    ({**QUOTE, "price": 5e-324}, "price"),
    ({**QUOTE, "price": "1"}, "price"),
    ({**QUOTE, "ts": NOW_MS + MAX_AHEAD_MS + 1}, "ts"),
    ({**TRADE, "ts": NOW_MS + MAX_AHEAD_MS + 1}, "ts"),
    ({**TRADE, "user_id": "é" * 65}, "user_id"),
    ({**TRADE, "event": "buy"}, "event"),
    ({**TRADE, "type": "trade"}, "type"),
    *(({k: v for k, v in QUOTE.items() if k != name}, name) for name in QUOTE if name != "size"),
    ({k: v for k, v in TRADE.items() if k != "user_id"}, "user_id"),
]


@given(st.lists(quotes | interactions, min_size=1, max_size=5))
def test_what_keeps_the_rules_is_read_as_it_was_sent(messages: list[Quote | Interaction]) -> None:
    events = [
        {"type": "quote" if isinstance(m, Quote) else "interaction"}
        | {name: getattr(m, name) for name in m.__struct_fields__}
        for m in messages
    ]
    assert parse_events(json.dumps(events).encode(), NOW_MS) == messages
    assert parse_events(b" \n" + json.dumps(events[0]).encode(), NOW_MS) == messages[:1]


odd = st.sampled_from(
    [
        b'{"type":"quote","instrument_id":4,"price":1e0,"ts":5,"size":0.0}',
        b'{"ts":5,"price":2.5,"instrument_id":4,"type":"quote","price":3}',
        b'{"type":"quote","instrument_id":4,"price":1,"ts":5,"x":{"y":[1]}}',
        b'{"type":"quote","instrument_id":4,"price":1,"ts":5.0}',
        b'{"type":"quote","instrument_id":4,"price":1,"ts":9e99}',
        b'{"type":"interaction","user_id":"\\u0041","instrument_id":4,"ts":5,"price":null}',
        b'{"type":"interaction","user_id":"\\ud800","instrument_id":4,"ts":5}',
        b'{"type":"interaction","user_id":"\xff","instrument_id":4,"ts":5}',
        b'{"instrument_id":4,"price":1,"ts":5}',
        b"[]",
        b"null",
        b"{",
        b"",
    ]
) | st.sampled_from([QUOTE, TRADE, *(event for event, _ in BROKEN)]).map(
    lambda event: json.dumps(event).encode()
)


@given(
    st.lists(odd, max_size=4), st.sampled_from([b",", b" ,\n", b""]), st.sampled_from([b"]", b"] "])
)
def test_an_array_is_what_its_events_are_one_by_one(
    events: list[bytes], comma: bytes, end: bytes
) -> None:
    body = b" [" + comma.join(events) + end
    outcomes = []
    for parse in (
        lambda: parse_events(body, NOW_MS),
        lambda: parse_each(body, lambda event: parse_events(event, NOW_MS)[0]),
    ):
        try:
            outcomes.append(parse())
        except (InvalidEventsError, MalformedBodyError) as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(("event", "field"), BROKEN)
def test_each_broken_rule_names_index_field_and_reason(event: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidEventsError) as caught:
        parse_events(json.dumps([QUOTE, event, TRADE]).encode(), NOW_MS)
    (error,) = caught.value.errors
    assert (error.index, error.field) == (1, field)
    assert error.reason
    assert "1 of 3 events invalid, none accepted" in str(caught.value)


def test_an_event_time_in_seconds_is_refused() -> None:
    rules = InputRules(631_152_000_000)
    early = [{**QUOTE, "ts": NOW_MS // 1000}, {**TRADE, "ts": NOW_MS // 1000}]
    with pytest.raises(InvalidEventsError, match="epoch milliseconds") as caught:
        parse_events(json.dumps(early).encode(), NOW_MS, rules)
    assert [error.field for error in caught.value.errors] == ["ts", "ts"]
    legacy = {"userid": "ABC", "price": "1", "timestamp": "1700", "instrid": 4}
    with pytest.raises(InvalidEventsError, match="EARLIEST_EVENT_DATE"):
        parse_legacy(json.dumps(legacy).encode(), NOW_MS, rules)


@pytest.mark.parametrize("count", [0, MAX_EVENTS + 1])
def test_none_or_too_many_events_are_refused(count: int) -> None:
    with pytest.raises(InvalidEventsError, match=f"got {count}"):
        parse_events(json.dumps([QUOTE] * count).encode(), NOW_MS)
    assert len(parse_events(json.dumps([QUOTE] * MAX_EVENTS).encode(), NOW_MS)) == MAX_EVENTS


def test_not_more_than_some_errors_are_listed_but_all_are_counted() -> None:
    bad = {**QUOTE, "price": 0}
    with pytest.raises(InvalidEventsError, match="50 of 50") as caught:
        parse_events(json.dumps([bad] * 50).encode(), NOW_MS)
    assert len(caught.value.errors) == MAX_REPORTED


@given(st.binary())
def test_no_body_raises_anything_else(body: bytes) -> None:
    for parse in (parse_events, parse_legacy):
        with contextlib.suppress(MalformedBodyError, InvalidEventsError):
            parse(body, NOW_MS)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"price": "abc"}, "price"),
        ({"price": "nan"}, "price"),
        ({"price": "0"}, "price"),
        ({"price": "9" * 400}, "price"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": 1e300}, "timestamp"),
        ({"timestamp": str(NOW_MS)}, "timestamp"),
        ({"instrid": -1}, "instrid"),
        ({"instrid": "x"}, "instrid"),
        ({"userid": "é" * 65}, "userid"),
    ],
)
def test_a_rule_that_such_a_trade_breaks_goes_by_its_own_names(
    change: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidEventsError) as caught:
        parse_legacy(json.dumps(LEGACY | change).encode(), NOW_MS)
    assert [error.field for error in caught.value.errors] == [field]
