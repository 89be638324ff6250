"""Fields become messages by the rules of a mapping."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.instruments import decode_instrument_record
from contracts.topics import QUOTES, Place, letter_of
from producers.adapt.envelopes import unwrap
from producers.adapt.fields import EpochMs, UnmappableError
from producers.adapt.mapping import Source
from producers.adapt.messages import Mapper, Outgoing, Unpublished

NOW_MS = 1_800_000_000_000
TS_MS = 1_795_731_420_123
PAST_FLOATS = 2**53 + 1
"""As a float, another number."""


def mapper(into: str, fields: dict[str, Any], **more: Any) -> Mapper:
    content = {"topic": "t", "into": into, "fields": fields, "example": "{}", **more}
    return Mapper(msgspec.convert(content, Source), {"AAPL": 4}.get)


def mapped(into: str, fields: dict[str, Any], value: Any, key: Any = None, **more: Any) -> Any:
    """Return the message, as JSON has it, or why there is none."""
    record = mapper(into, fields, **more)(value, key, TS_MS, NOW_MS)
    return msgspec.json.decode(record.value or b"") if isinstance(record, Outgoing) else record


NAMED = {"instrument_id": "id", "symbol": "sym", "name": "sym"}
QUOTE = {"instrument_id": {"symbol": "a.sym"}, "price": "p", "ts": "$timestamp"}


@pytest.mark.parametrize(
    ("rule", "value", "found"),
    [
        ("p.0", {"p": [3, 4]}, 3),
        ("p.q.r", {"p": {"q": {"r": "3.5"}}}, 3.5),
        ({"mean": ["b", "a.ask"]}, {"b": 1, "a": {"ask": "2"}}, 1.5),
        ({"constant": 7}, {}, 7),
        ({"path": "p", "default": 2}, {"p": None}, 2),
        ({"path": "p", "values": {"1": 10, "true": 20}}, {"p": 1}, 10),
        ({"path": "p", "values": {"1": 10, "true": 20}}, {"p": True}, 20),
        ("p", {"p": Decimal("0.1")}, 0.1),
        ("$envelope.payload.p", {"p": 8}, 8),
    ],
)
def test_a_value_comes_from_where_its_rule_says(rule: Any, value: Any, found: float) -> None:
    fields = {"instrument_id": {"constant": 4}, "price": rule, "ts": "$timestamp"}
    wrapped = {"schema": None, "payload": value}
    assert mapped("quotes", fields, wrapped, envelope="connect")["price"] == found


@example(1001, 0, UTC)  # as a float times 1000 it is 1000.999...
@example(TS_MS, 999_999, timezone(timedelta(hours=1)))
@given(
    st.integers(0, 253_402_300_799_999),
    st.integers(0, 999_999),
    st.sampled_from([UTC, timezone(-timedelta(hours=5, minutes=30))]),
)
def test_no_millisecond_is_lost_in_any_unit_and_fractions_are_cut_off(
    ts_ms: int, ns: int, zone: timezone
) -> None:
    fraction = f".{ts_ms % 1000:03}{ns:06}"
    local = datetime.fromtimestamp(ts_ms // 1000, zone)
    offset = "Z" if zone is UTC else local.isoformat()[-6:]
    values: dict[str, list[Any]] = {
        "ms": [ts_ms, str(ts_ms)],
        "s": [f"{ts_ms // 1000}{fraction}", EpochMs(ts_ms)],
        "us": [ts_ms * 1000 + ns // 1000],
        "ns": [ts_ms * 1_000_000 + ns],
        "RFC 3339": [f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{offset}"],
    }
    for unit, value in ((unit, value) for unit, of in values.items() for value in of):
        fields = {**QUOTE, "ts": {"path": "at", "unit": unit}}
        row = {"a": {"sym": "AAPL"}, "p": 1, "at": value}
        record = mapper("quotes", fields)(row, None, None, 2**50)
        expected = {"instrument_id": 4, "price": 1, "ts": ts_ms}
        assert msgspec.json.decode(record.value or b"") == expected, unit


EVENT: dict[str, Any] = {
    "user_id": "$key",
    "instrument_id": "i",
    "event": {"path": "side", "values": {"BUY": "trade", "LOOK": "view"}},
    "ts": "$timestamp",
}


@pytest.mark.parametrize(
    "user", [17, "ABC", UUID(int=7), Decimal("17.0"), Decimal(10**37 + 1)], ids=repr
)
def test_the_user_may_be_a_number_and_kinds_of_events_have_other_names(user: Any) -> None:
    record = mapper("interactions", EVENT)({"i": "4", "side": "LOOK"}, user, TS_MS, NOW_MS)
    id_ = str(user).removesuffix(".0")
    assert record.key == id_.encode()
    expected = {"user_id": id_, "instrument_id": 4, "event": "view", "ts": TS_MS}
    assert msgspec.json.decode(record.value) == expected


@pytest.mark.parametrize("id_", [PAST_FLOATS, str(PAST_FLOATS), Decimal(PAST_FLOATS)])
def test_an_instrument_id_is_exact_in_a_message_and_in_a_removal(id_: Any) -> None:
    fields = {**NAMED, "instrument_id": "$key"}
    for value in ({"sym": "A"}, None):
        record = mapper("instruments", fields)(value, id_, None, NOW_MS)
        assert record.key == b"%d" % PAST_FLOATS


@pytest.mark.parametrize(
    ("fields", "value", "reason"),
    [
        (QUOTE, {"p": 1}, "instrument_id: is required"),
        (QUOTE, {"a": {"sym": "XYZ"}, "p": 1}, "no instrument with the symbol 'XYZ'"),
        (QUOTE, {"a": {"sym": "AAPL"}, "p": "x"}, "price: must be a number, got \"x\""),
        ({**QUOTE, "price": {"mean": ["p", "q"]}}, {"a": {"sym": "AAPL"}, "p": 1, "q": "x"},
         "price: no mean of 1 and 'x'"),
        ({**QUOTE, "price": {"mean": ["p", "q"]}}, {"a": {"sym": "AAPL"}, "p": 10**400, "q": 1},
         "price: no mean of 1000"),
        ({**QUOTE, "price": {"mean": ["p", "q"]}}, {"a": {"sym": "AAPL"}, "p": "nan", "q": 1},
         "price: must be a number of at least 1e-18, got nan"),
        (QUOTE, {"a": {"sym": ""}, "p": 1}, "no instrument with the symbol ''"),
        ({**QUOTE, "ts": {"path": "at", "unit": "RFC 3339"}},
         {"a": {"sym": "AAPL"}, "p": 1, "at": "2026-11-26T22:17:00"},
         "ts: '2026-11-26T22:17:00' is no time in RFC 3339"),
        # As an integer it would have more digits than Python writes.
        ({**QUOTE, "ts": {"path": "at", "unit": "s"}},
         {"a": {"sym": "AAPL"}, "p": 1, "at": "1e5000"}, "ts: '1e5000' is no time in s"),
        ({**QUOTE, "ts": "at"}, {"a": {"sym": "AAPL"}, "p": 1, "at": NOW_MS + 600_000},
         "minutes ahead of the clock"),
        # As a float it stands for several ids.
        *(({**QUOTE, "instrument_id": "id"}, {"id": id_, "p": 1}, "may stand for another id")
          for id_ in (float(PAST_FLOATS), f"{PAST_FLOATS}.0")),
        (QUOTE, None, "a record without a row: quotes cannot be removed one by one"),
        (QUOTE, [], "is required"),
    ],
)  # fmt: skip
def test_an_unmappable_record_has_a_reason(fields: dict[str, Any], value: Any, reason: str) -> None:
    with pytest.raises(UnmappableError) as raised:
        mapped("quotes", fields, value)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("condition", "taken", "left_out"),
    [
        ({"path": "v", "in": ["XNAS", 7, True]}, ["XNAS", "7", 7, True], ["xnas", 8, False, None]),
        ({"path": "v", "not_in": ["test"]}, ["real", None, 1], ["test"]),
        ({"path": "v", "matches": "X.*"}, ["X", "XNAS"], ["AX", None, 1]),
        ({"path": "v", "not_matches": "test-[0-9]+"}, ["tests", None, "a-test-1"], ["test-1"]),
    ],
)
def test_a_record_is_taken_if_it_meets_a_condition(
    condition: Any, taken: list[Any], left_out: list[Any]
) -> None:
    fields = {"instrument_id": {"constant": 4}, "price": "p", "ts": "$timestamp"}
    of = mapper("quotes", fields, where=[condition])
    for value in taken:
        assert isinstance(of({"v": value, "p": 1}, None, TS_MS, NOW_MS), Outgoing)
    for value in left_out:
        # Nothing else of it is read: it cannot be a bad record.
        assert of({"v": value, "p": "?"}, None, TS_MS, NOW_MS) is Unpublished.LEFT_OUT


def test_an_event_of_another_kind_is_rejected_or_left_out() -> None:
    with pytest.raises(UnmappableError, match="event: 'STOP' is not among its values"):
        mapped("interactions", EVENT, {"i": 4, "side": "STOP"}, "A")
    fields = {**EVENT, "event": {**EVENT["event"], "others": "skip"}}
    assert mapped("interactions", fields, {"i": 4, "side": "STOP"}, "A") is Unpublished.LEFT_OUT
    assert mapped("interactions", fields, {"i": 4, "side": "LOOK"}, "A")["event"] == "view"


@pytest.mark.parametrize("op", ["c", "u", "d"])
def test_an_instrument_whose_id_is_left_out_is_neither_published_nor_removed(op: str) -> None:
    fields = {**NAMED, "instrument_id": {"path": "id", "values": {"A": 1}, "others": "skip"}}
    row = {"id": "B", "sym": "B"}
    change = {"op": op, "before": row, "after": row}
    found = mapped("instruments", fields, change, envelope="debezium")
    assert found is Unpublished.LEFT_OUT


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN")])
def test_an_attribute_that_json_cannot_express_is_rejected(value: Any) -> None:
    with pytest.raises(UnmappableError, match=r"attributes.tick is (nan|inf), which is no number"):
        mapped("instruments", NAMED, {"id": 4, "sym": "A", "x": value}, attributes={"tick": "x"})


_HUGE = 10**400
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([_HUGE, -_HUGE, 2**63, "", " ", "\0", "\ud800", "nan", "1e999"])
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.decimals().filter(lambda its: not its.is_snan())  # no codec makes a signaling NaN
    | st.datetimes()
    | st.uuids(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
RULES: list[Any] = [
    *("x", "x.0", {"mean": ["x", "y"]}),
    *({"path": "x", "default": 1}, {"path": "x", "values": {"a": 1}}),
]
TIMES: list[Any] = [{"path": "x", "unit": unit} for unit in ("s", "ms", "us", "ns", "RFC 3339")]


@given(st.data(), VALUES, VALUES)
def test_whatever_a_record_has_it_is_mapped_or_rejected_with_a_reason(
    data: st.DataObject, x: Any, y: Any
) -> None:
    rule, ts = data.draw(st.sampled_from(RULES)), data.draw(st.sampled_from(TIMES))
    symbol = data.draw(st.sampled_from([{"symbol": "x"}, {"constant": 4}, "x"]))
    where = data.draw(st.sampled_from([[], [{"path": "x", "not_in": ["a"]}]]))
    sources = {
        "quotes": {"instrument_id": symbol, "price": rule, "size": "y", "ts": ts},
        "interactions": {"user_id": rule, "instrument_id": symbol, "event": "y", "ts": ts},
        "instruments": {"instrument_id": rule, "symbol": "y", "name": "y", "categories": "x"},
    }
    into = data.draw(st.sampled_from([*sources]))
    more = {"attributes": {"a": rule, "b": "y"}} if into == "instruments" else {}
    envelope = data.draw(st.sampled_from(["none", "connect", "debezium"]))
    value = data.draw(
        st.sampled_from([x, {"x": x, "y": y}, {"op": "c", "after": {"x": x, "y": y}}])
    )
    its = mapper(into, sources[into], where=where, envelope=envelope, **more)
    try:
        record = its(value, x, TS_MS, NOW_MS)
    except UnmappableError as error:
        letter_of(QUOTES, Place("t", 0, 0), None, None, str(error))
    else:
        if isinstance(record, Outgoing) and into == "instruments":
            decode_instrument_record(record.key, record.value)


def test_a_tombstone_without_an_id_in_its_key_is_rejected() -> None:
    with pytest.raises(UnmappableError, match="names no instrument_id: map it from `\\$key`"):
        mapper("instruments", NAMED)(None, {"id": 4}, TS_MS, NOW_MS)


RECORDED = Path(__file__).with_name("recorded") / "debezium.jsonl"
"""What Debezium 3.3.1 published of two tables of PostgreSQL 15, with Connect's JSON converter as it
is by default: a snapshot, then an insert, an update and a delete."""
PRODUCTS = {"instrument_id": "id", "symbol": "ticker", "name": "title", "categories": "sector",
            "listed": "listed"}  # fmt: skip
ORDERS = {
    "user_id": "customer",
    "instrument_id": "product",
    "event": {"path": "side", "values": {"BUY": "trade", "SELL": "trade", "LOOK": "view"}},
    "price": "price",
    "ts": {"path": "created", "unit": "RFC 3339"},
}

debezium = partial(mapper, envelope="debezium")


def recorded(
    table: str, into: str, fields: dict[str, Any], **more: Any
) -> Iterator[Outgoing | Unpublished | str]:
    """Yield what becomes of each recorded message, or the reason why nothing does."""
    its = debezium(into, fields, **more)
    for line in RECORDED.read_text().splitlines():
        record = json.loads(line)
        if record["topic"] == table:
            try:
                value, key = (
                    record[part] and json.loads(record[part]) for part in ("value", "key")
                )
                yield its(value, key, None, NOW_MS)
            except UnmappableError as error:
                yield str(error)


def entry(id_: int, symbol: str, name: str, *, categories: list[str], listed: bool) -> Outgoing:
    said = {"instrument_id": id_, "symbol": symbol, "name": name, "categories": categories,
            "listed": listed, "attributes": {}}  # fmt: skip
    return Outgoing("instruments", b"%d" % id_, msgspec.json.encode(said))


@pytest.mark.parametrize("id_path", ["id", "$key.id"])
def test_rows_become_instruments_and_a_deleted_row_removes_its_own(id_path: str) -> None:
    fields = {**PRODUCTS, "instrument_id": id_path}
    assert list(recorded("products", "instruments", fields)) == [
        entry(1, "AAPL", "Apple Inc.", categories=["tech"], listed=True),
        entry(2, "XOM", "Exxon Mobil", categories=[], listed=True),
        entry(3, "KO", "Coca-Cola", categories=["food"], listed=True),
        entry(2, "XOM", "Exxon Mobil", categories=[], listed=False),
        Outgoing("instruments", b"3", None),
        Unpublished.SAYS_NOTHING,
    ]


IN_FOOD = [{"path": "sector", "in": ["food"]}]
LISTED = [{"path": "listed", "in": [True]}]


@pytest.mark.parametrize(
    ("where", "ids"), [(IN_FOOD, [b"3", b"2", b"3"]), (LISTED, [b"1", b"2", b"3", b"2", b"3"])]
)
def test_a_row_that_no_longer_meets_the_conditions_and_a_deleted_one_leave_the_catalog(
    where: Any, ids: list[bytes]
) -> None:
    found = list(recorded("products", "instruments", PRODUCTS, where=where))
    published = [record for record in found if isinstance(record, Outgoing)]
    assert [record.key for record in published] == ids
    assert [record.value for record in published][-2:] == [None, None]


@pytest.mark.parametrize("where", [[], LISTED])
def test_an_instrument_whose_id_changes_leaves_the_catalog_under_its_old_one(where: Any) -> None:
    before = {"id": 5, "ticker": "AAPL", "title": "Apple Inc.", "listed": True}
    after = {**before, "id": 6, "listed": not where}
    change = {"op": "u", "before": before, "after": after}
    record = debezium("instruments", PRODUCTS, where=where)(change, None, None, NOW_MS)
    assert isinstance(record, Outgoing)
    found = (record.key, record.replaces)
    assert found == ((b"5", None) if where else (b"6", b"5"))


@pytest.mark.parametrize(
    ("price", "is_rejected"), [("1500", True), ("12e4", True), ("15.5", False), ("15000", False)]
)
def test_text_that_may_be_a_decimals_bytes_is_no_price(price: str, *, is_rejected: bool) -> None:
    fields = {"instrument_id": "id", "price": {"mean": ["p", "p"]}, "ts": "ts"}
    row = {"id": "1500", "p": price, "ts": 1_795_731_420_123}
    with pytest.raises(UnmappableError, match="base64") if is_rejected else nullcontext():
        debezium("quotes", fields)({"op": "c", "after": row}, None, None, NOW_MS)


def test_rows_become_events_but_an_update_is_none_and_a_delete_takes_none_back() -> None:
    first, second, update, delete, tombstone = recorded("orders", "interactions", ORDERS)
    assert [json.loads(each.value) for each in (first, second)] == [
        {"user_id": "17", "instrument_id": 1, "price": 15.47, "ts": 1_795_731_420_123},
        {"user_id": "18", "instrument_id": 2, "event": "view", "ts": 1_795_731_480_000},
    ]
    assert update is tombstone is Unpublished.SAYS_NOTHING
    assert delete == "a record without a row: interactions cannot be removed one by one"


@pytest.mark.parametrize("value", [7, {}, {"op": "t"}, {"op": "c", "after": None}, {"after": {}}])
def test_what_is_no_change_of_a_row_is_rejected(value: Any) -> None:
    with pytest.raises(UnmappableError, match="is this an event of Debezium's"):
        unwrap("debezium", value)


def test_connects_json_converter_wraps_anything() -> None:
    row = {"payload": 1, "a": 2}
    assert unwrap("connect", {"schema": {}, "payload": row}).row == row
    assert unwrap("connect", row).row == row
    assert unwrap("debezium", {"schema": None, "payload": None}) is None
    assert unwrap("connect", {"schema": {"optional": True}, "payload": None}).is_removal
