"""Fields become messages by the rules of a mapping."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.adapt.fields import UnmappableError
from producers.adapt.mapping import Source
from producers.adapt.messages import Mapper

NOW_MS = 1_800_000_000_000
TS_MS = 1_795_731_420_123


def mapper(into: str, fields: dict[str, Any], **more: Any) -> Mapper:
    content = {"topic": "t", "into": into, "fields": fields, "example": "{}", **more}
    return Mapper(msgspec.convert(content, Source), {"AAPL": 4}.get)


def mapped(into: str, fields: dict[str, Any], value: Any, key: Any = None, **more: Any) -> Any:
    """Return the message, as JSON has it."""
    record = mapper(into, fields, **more)(value, key, TS_MS, NOW_MS)
    return None if record is None or record.value is None else msgspec.json.decode(record.value)


QUOTE = {"instrument_id": {"symbol": "a.sym"}, "price": "p", "ts": "$timestamp"}


@pytest.mark.parametrize(
    ("rule", "value", "found"),
    [
        ("p.0", {"p": [3, 4]}, 3),
        ("p.q.r", {"p": {"q": {"r": "3.5"}}}, 3.5),
        ({"mean": ["b", "a.ask"]}, {"b": 1, "a": {"ask": "2"}}, 1.5),
        ({"constant": 7}, {}, 7),
        ({"path": "p", "default": 2}, {"p": None}, 2),
        ({"path": "p", "values": {"1": 10, "True": 20}}, {"p": 1}, 10),
        ("p", {"p": Decimal("0.1")}, 0.1),
        ("$envelope.payload.p", {"p": 8}, 8),
    ],
)
def test_a_value_comes_from_where_its_rule_says(rule: Any, value: Any, found: float) -> None:
    fields = {"instrument_id": {"constant": 4}, "price": rule, "ts": "$timestamp"}
    wrapped = {"schema": None, "payload": value}
    assert mapped("quotes", fields, wrapped, envelope="connect")["price"] == found


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("ms", TS_MS),
        ("ms", str(TS_MS)),
        ("s", "1795731420.1239"),
        ("us", TS_MS * 1_000 + 999),
        ("ns", TS_MS * 1_000_000 + 999_999),
        ("RFC 3339", "2026-11-26T23:17:00.123999+01:00"),
        ("RFC 3339", "2026-11-26T22:17:00.123999999Z"),
        ("ms", datetime(2026, 11, 26, 22, 17, 0, 123_999, UTC)),
    ],
)
def test_times_become_epoch_ms_and_fractions_are_cut_off(unit: str, value: Any) -> None:
    fields = {**QUOTE, "ts": {"path": "at", "unit": unit}}
    found = mapped("quotes", fields, {"a": {"sym": "AAPL"}, "p": 1, "at": value})
    assert found == {"instrument_id": 4, "price": 1, "ts": TS_MS}


@given(st.integers(0, 253_402_300_799_999), st.sampled_from(["s", "us", "ns"]))
def test_no_millisecond_is_lost_in_any_unit(ts_ms: int, unit: str) -> None:
    text = (
        f"{ts_ms // 1000}.{ts_ms % 1000:03}"
        if unit == "s"
        else ts_ms * 1000 ** " un".index(unit[0])
    )
    fields = {**QUOTE, "ts": {"path": "at", "unit": unit}}
    record = mapper("quotes", fields)({"a": {"sym": "AAPL"}, "p": 1, "at": text}, None, None, 2**50)
    assert msgspec.json.decode(record.value)["ts"] == ts_ms


EVENT = {
    "user_id": "$key",
    "instrument_id": "i",
    "event": {"path": "side", "values": {"BUY": "trade", "LOOK": "view"}},
    "ts": "$timestamp",
}


@pytest.mark.parametrize(
    ("user", "id_"), [(17, "17"), ("ABC", "ABC"), (UUID(int=7), str(UUID(int=7)))]
)
def test_the_user_may_be_a_number_in_the_key_and_kinds_of_events_have_other_names(
    user: Any, id_: str
) -> None:
    record = mapper("interactions", EVENT)({"i": "4", "side": "LOOK"}, user, TS_MS, NOW_MS)
    assert record.key == id_.encode()
    assert msgspec.json.decode(record.value) == {
        "user_id": id_,
        "instrument_id": 4,
        "event": "view",
        "ts": TS_MS,
    }


def test_an_instrument_has_categories_and_attributes() -> None:
    fields = {"instrument_id": "id", "symbol": "sym", "name": "sym", "categories": "sector"}
    value = {"id": 4, "sym": "AAPL", "sector": "tech", "isin": "US0378331005", "lot": 100}
    attributes = {"isin": "isin", "lot": "lot", "tick": "tick"}
    assert mapped("instruments", fields, value, attributes=attributes) == {
        "instrument_id": 4,
        "symbol": "AAPL",
        "name": "AAPL",
        "categories": ["tech"],
        "listed": True,
        "attributes": {"isin": "US0378331005", "lot": 100},
    }


@pytest.mark.parametrize(
    ("fields", "value", "reason"),
    [
        (QUOTE, {"p": 1}, "Object missing required field `instrument_id`"),
        (QUOTE, {"a": {"sym": "XYZ"}, "p": 1}, "no instrument with the symbol 'XYZ'"),
        (QUOTE, {"a": {"sym": "AAPL"}, "p": "x"}, "Expected `float`, got `str` - at `$.price`"),
        ({**QUOTE, "price": {"mean": ["p", "q"]}}, {"a": {"sym": "AAPL"}, "p": 1, "q": "x"},
         "price: no mean of 1 and 'x'"),
        ({**QUOTE, "ts": {"path": "at", "unit": "RFC 3339"}},
         {"a": {"sym": "AAPL"}, "p": 1, "at": "2026-11-26T22:17:00"},
         "ts: '2026-11-26T22:17:00' is no time in RFC 3339"),
        ({**QUOTE, "ts": "at"}, {"a": {"sym": "AAPL"}, "p": 1, "at": NOW_MS + 600_000},
         "minutes ahead of the clock"),
        (QUOTE, None, "a record without a row: quotes cannot be removed one by one"),
        (QUOTE, [], "Object missing required field"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_mapped_has_a_reason(
    fields: dict[str, Any], value: Any, reason: str
) -> None:
    with pytest.raises(UnmappableError) as raised:
        mapped("quotes", fields, value)
    assert reason in str(raised.value)


def test_an_event_without_a_known_meaning_is_rejected() -> None:
    with pytest.raises(UnmappableError, match="event: 'STOP' is not among its values"):
        mapped("interactions", EVENT, {"i": 4, "side": "STOP"}, "ABC")


def test_a_tombstone_removes_the_instrument_in_its_key() -> None:
    fields = {"instrument_id": "$key.id", "symbol": "sym", "name": "sym"}
    removal = mapper("instruments", fields)(None, {"id": "4"}, TS_MS, NOW_MS)
    assert (removal.key, removal.value) == (b"4", None)
    with pytest.raises(UnmappableError, match="names no instrument_id: map it from `\\$key`"):
        mapper("instruments", {**fields, "instrument_id": "id"})(None, {"id": 4}, TS_MS, NOW_MS)
