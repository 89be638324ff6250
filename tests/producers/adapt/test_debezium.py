"""Envelopes of Kafka Connect and Debezium; the messages were recorded.

`recorded/debezium.jsonl` has what Debezium 3.3.1 published of two tables of PostgreSQL 15, with
Connect's JSON converter as it is by default: a snapshot, then an insert, an update and a delete.
"""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from producers.adapt.envelopes import unwrap
from producers.adapt.fields import UnmappableError
from producers.adapt.mapping import Source
from producers.adapt.messages import Mapper, Outgoing, Unpublished

RECORDED = Path(__file__).with_name("recorded") / "debezium.jsonl"
NOW_MS = 1_800_000_000_000
PRODUCTS = {"instrument_id": "id", "symbol": "ticker", "name": "title", "categories": "sector",
            "listed": "listed"}  # fmt: skip
ORDERS = {
    "user_id": "customer",
    "instrument_id": "product",
    "event": {"path": "side", "values": {"BUY": "trade", "SELL": "trade", "LOOK": "view"}},
    "price": "price",
    "ts": {"path": "created", "unit": "RFC 3339"},
}


def decoded(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def mapper(into: str, fields: dict[str, Any], **more: Any) -> Mapper:
    source = {"topic": "t", "into": into, "fields": fields, "example": "{}", "envelope": "debezium"}
    return Mapper(msgspec.convert({**source, **more}, Source), lambda _: None)


def mapped(
    table: str, into: str, fields: dict[str, Any], **more: Any
) -> Iterator[Outgoing | Unpublished | str]:
    """Yield what becomes of each recorded message, or the reason why nothing does."""
    its = mapper(into, fields, **more)
    for line in RECORDED.read_text().splitlines():
        record = json.loads(line)
        if record["topic"] == table:
            try:
                yield its(decoded(record["value"]), decoded(record["key"]), None, NOW_MS)
            except UnmappableError as error:
                yield str(error)


def entry(id_: int, symbol: str, name: str, *, categories: list[str], listed: bool) -> Outgoing:
    said = {"instrument_id": id_, "symbol": symbol, "name": name, "categories": categories,
            "listed": listed, "attributes": {}}  # fmt: skip
    return Outgoing("instruments", b"%d" % id_, msgspec.json.encode(said))


@pytest.mark.parametrize("id_path", ["id", "$key.id"])
def test_rows_become_instruments_and_a_deleted_row_removes_its_own(id_path: str) -> None:
    fields = {**PRODUCTS, "instrument_id": id_path}
    assert list(mapped("products", "instruments", fields)) == [
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
    found = list(mapped("products", "instruments", PRODUCTS, where=where))
    published = [record for record in found if isinstance(record, Outgoing)]
    assert [record.key for record in published] == ids
    assert [record.value for record in published][-2:] == [None, None]


@pytest.mark.parametrize("where", [[], LISTED])
def test_an_instrument_whose_id_changes_leaves_the_catalog_under_its_old_one(where: Any) -> None:
    before = {"id": 5, "ticker": "AAPL", "title": "Apple Inc.", "listed": True}
    after = {**before, "id": 6, "listed": not where}
    change = {"op": "u", "before": before, "after": after}
    record = mapper("instruments", PRODUCTS, where=where)(change, None, None, NOW_MS)
    assert isinstance(record, Outgoing)
    found = (record.key, record.replaces)
    assert found == ((b"5", None) if where else (b"6", b"5"))


@pytest.mark.parametrize(
    ("price", "is_rejected"), [("1500", True), ("12e4", True), ("15.5", False), ("15000", False)]
)
def test_text_that_may_be_the_bytes_of_a_decimal_is_no_price(
    price: str, *, is_rejected: bool
) -> None:
    fields = {"instrument_id": "id", "price": {"mean": ["p", "p"]}, "ts": "ts"}
    row = {"id": "1500", "p": price, "ts": 1_795_731_420_123}
    with pytest.raises(UnmappableError, match="base64") if is_rejected else nullcontext():
        mapper("quotes", fields)({"op": "c", "after": row}, None, None, NOW_MS)


def test_rows_become_events_but_an_update_is_none_and_a_delete_takes_none_back() -> None:
    first, second, update, delete, tombstone = mapped("orders", "interactions", ORDERS)
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
