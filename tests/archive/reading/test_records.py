"""A row is its record, field by field; a partition goes on at the table's position, if it can."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Message
from hypothesis import example, given
from hypothesis import strategies as st

from archive.reading import records as reading
from archive.reading.broker import Bounds, resume
from archive.reading.records import Place, Rows, rows_of
from contracts.archive import (
    BARS_TABLE,
    FEEDBACK_TABLE,
    INTERACTIONS_TABLE,
    QUOTES_TABLE,
    ArchiveTable,
)
from contracts.bar_messages import ClosedBar
from contracts.feedback import decode_feedback
from contracts.input_rules import InputRules
from contracts.messages import MAX_AHEAD_MS, Interaction, Quote, encode
from contracts.partitioning import instrument_partition, user_partition
from contracts.tombstones import Tombstone, encode_tombstone
from runtime.archive.positions import Position
from tests.archive.samples import feedback
from tests.contracts.test_messages import NOW_MS, interactions, quotes

PLACE = Place(log=2, partition=0, counts=(1,))


def message(offset: int, value: bytes | None, stamp_ms: int = NOW_MS, **other: Any) -> Message:
    kind = TIMESTAMP_LOG_APPEND_TIME
    return Message(topic="t", partition=0, offset=offset, value=value,
                   **{"timestamp": (kind, stamp_ms), **other})  # fmt: skip


def ms(row: dict[str, Any], column: str) -> int:
    return round(row[column].timestamp() * 1_000)


@given(st.lists(quotes | st.none(), max_size=20))
def test_quotes(sent: list[Quote | None]) -> None:
    records = [message(7 * n, q and encode(q)) for n, q in enumerate(sent)]
    rows, rejected, *_ = rows_of(QUOTES_TABLE, PLACE, records, NOW_MS)
    assert rejected == sent.count(None)
    decoded = [row | {"ts": ms(row, "ts")} for row in rows.to_pylist()]
    assert decoded == [
        {"log": 2, "partition": 0, "offset": 7 * n} | msgspec.structs.asdict(quote)
        for n, quote in enumerate(sent)
        if quote
    ]


@given(st.lists(interactions, max_size=20))
def test_interactions(sent: list[Interaction]) -> None:
    records = [message(n, encode(event)) for n, event in enumerate(sent)]
    rows, rejected, *_ = rows_of(INTERACTIONS_TABLE, PLACE, records, NOW_MS)
    assert rejected == 0
    decoded = [
        Interaction(
            user_id=r["user_id"], instrument_id=r["instrument_id"], event=r["event"],
            price=r["price"], quantity=r["quantity"], ts=ms(r, "ts"),
        )
        for r in rows.to_pylist()
    ]  # fmt: skip
    assert decoded == sent


@pytest.mark.parametrize("before_ms", [None, 1_600_000_000_000])
@pytest.mark.parametrize("erased_at_ms", [None, 1_600_000_000_001, 2 * NOW_MS])
def test_a_tombstone_is_a_row_at_its_broker_timestamp(
    before_ms: int | None, erased_at_ms: int | None
) -> None:
    key, headers = encode_tombstone(Tombstone("ABC", before_ms, erased_at_ms))
    rows, rejected, *_ = rows_of(
        INTERACTIONS_TABLE, PLACE, [message(3, None, key=key, headers=headers)], NOW_MS
    )
    (row,) = rows.to_pylist()
    assert rejected == 0
    assert (row["user_id"], row["event"], row["instrument_id"]) == ("ABC", "erased", None)
    assert ms(row, "ts") == NOW_MS
    assert (row["last_event_before"] and ms(row, "last_event_before")) == before_ms
    bounded_ms = erased_at_ms and min(erased_at_ms, NOW_MS + MAX_AHEAD_MS)
    assert (row["erased_at"] and ms(row, "erased_at")) == bounded_ms


def test_feedback() -> None:
    _, _, value = feedback("ABC", 4, NOW_MS)
    made = rows_of(FEEDBACK_TABLE, PLACE, [message(0, value), message(1, b"{}")], NOW_MS)
    assert (made.rejected, made.reason) == (1, "type: is required")
    (row,) = made.batch.to_pylist()
    sent = decode_feedback(value, NOW_MS)
    assert (row["type"], row["request_id"], row["user_id"], row["instrument_id"]) == (
        sent.type, sent.request_id, sent.user_id, sent.instrument_id,
    )  # fmt: skip
    assert (row["position"], ms(row, "ts")) == (sent.position, sent.ts)


def test_bars() -> None:
    bar = ClosedBar(4, 60_000, 2.5, 3.0, 2.0, 2.75, 7.0, 2, 19.0, 60_001, 61_000, 17_834)
    value = msgspec.json.encode(bar)
    rows, rejected, *_ = rows_of(BARS_TABLE, PLACE, [message(0, None), message(1, value)], NOW_MS)
    (row,) = rows.to_pylist()
    assert rejected == 1
    names = ("offset", "instrument_id", "open", "high", "low", "close", "volume", "count",
             "notional", "revision")  # fmt: skip
    assert [row[name] for name in names] == [1, 4, 2.5, 3.0, 2.0, 2.75, 7.0, 2, 19.0, 17_834]
    assert [ms(row, name) for name in ("minute", "open_ts", "close_ts")] == [60_000, 60_001, 61_000]


@pytest.mark.parametrize(
    ("kind", "stamp_ms", "n"),
    [
        (TIMESTAMP_LOG_APPEND_TIME, NOW_MS - 1, 0),
        (TIMESTAMP_LOG_APPEND_TIME, NOW_MS, 1),
        (TIMESTAMP_LOG_APPEND_TIME, NOW_MS + 60_000, 1),
        (TIMESTAMP_CREATE_TIME, NOW_MS - 1, 1),
    ],
)
def test_future_events_are_judged_by_the_broker_timestamp(kind: int, stamp_ms: int, n: int) -> None:
    quote = Quote(instrument_id=1, price=1, ts=NOW_MS + MAX_AHEAD_MS)
    record = message(0, encode(quote), timestamp=(kind, stamp_ms))
    rows, rejected, *_ = rows_of(QUOTES_TABLE, PLACE, [record], NOW_MS)
    assert (rows.num_rows, rejected) == (n, 1 - n)


@pytest.mark.parametrize("table", [QUOTES_TABLE, INTERACTIONS_TABLE])
def test_a_record_may_be_placed_by_any_former_number_of_partitions(table: ArchiveTable) -> None:
    if table is QUOTES_TABLE:
        sent = [encode(Quote(instrument_id=i, price=1, ts=NOW_MS)) for i in range(60)]
        own = [[instrument_partition(i, n) for i in range(60)] for n in (8, 12)]
    else:
        event = {"instrument_id": 1, "event": "view", "ts": NOW_MS}
        sent = [encode(Interaction(user_id=f"u{i}", **event)) for i in range(60)]
        own = [[user_partition(f"u{i}", n) for i in range(60)] for n in (8, 12)]
    records = [message(n, value) for n, value in enumerate(sent)]
    for counts, its in (((8,), own[:1]), ((12,), own[1:]), ((8, 12), own)):
        rows = rows_of(table, Place(0, 3, counts), records, NOW_MS)
        expected = [n for n in range(60) if any(one[n] == 3 for one in its)]
        assert rows.batch["offset"].to_pylist() == expected
        assert rows.misplaced == rows.rejected == 60 - len(expected)


def test_what_a_setting_makes_the_workers_refuse_makes_no_row() -> None:
    early = message(0, encode(Quote(instrument_id=1, price=1, ts=NOW_MS // 1000)))
    misspelt = message(1, b'{"instrument_id":1,"price":1,"qty":2,"ts":%d}' % NOW_MS)
    rules = InputRules(631_152_000_000, refuses_unknown_fields=True)
    assert rows_of(QUOTES_TABLE, PLACE, [early, misspelt], NOW_MS, rules).rejected == 2
    assert rows_of(QUOTES_TABLE, PLACE, [early, misspelt], NOW_MS).rejected == 0


def test_a_record_that_fails_in_any_way_is_rejected_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_at_3(place: Place, records: Sequence[Message], *others: Any) -> Rows:
        if any(record.offset() == 3 for record in records):
            raise OverflowError("too much")
        return _quotes(place, records, *others)

    _quotes = reading._ROWS[QUOTES_TABLE.name]
    monkeypatch.setitem(reading._ROWS, QUOTES_TABLE.name, fail_at_3)  # type: ignore[arg-type]
    quote = encode(Quote(instrument_id=1, price=1, ts=NOW_MS))
    sent = [message(n, None if n == 5 else quote) for n in range(8)]
    rows = rows_of(QUOTES_TABLE, PLACE, sent, NOW_MS)
    assert rows.batch["offset"].to_pylist() == [0, 1, 2, 4, 6, 7]
    assert (rows.rejected, rows.reason) == (2, "OverflowError: too much")


offsets = st.integers(0, 1_000)
ids = st.sampled_from(("first", "second"))
bounds = st.tuples(ids, offsets, offsets).map(lambda b: Bounds(b[0], min(b[1:]), max(b[1:]), 8))
positions = st.builds(Position, ids, st.integers(0, 3), offsets, st.sampled_from(((8,), (4, 8))))


@given(positions, bounds, st.booleans())
def test_no_place_comes_twice(
    before: Position,
    now: Bounds,
    is_refused: bool,  # noqa: FBT001 (Hypothesis)
) -> None:
    at = resume(before, now, is_refused=is_refused).at
    assert at.topic_id == now.topic_id
    assert (at.log, at.next) >= (before.log, before.next)


@example(Position("first", 0, 3, (8,)), Bounds("first", 5, 9, 8))
@given(positions, bounds)
def test_nothing_in_the_log_is_skipped(before: Position, now: Bounds) -> None:
    resumed = resume(before, now)
    if before.topic_id == now.topic_id and before.next >= now.earliest:
        assert resumed.at == before
    else:
        assert resumed.at.next == now.earliest
    assert (resumed.missing > 0) is (
        now.earliest > (before.next if before.topic_id == now.topic_id else 0)
    )


def test_the_first_start_begins_where_the_log_does() -> None:
    resumed = resume(None, Bounds("first", 5, 9, 8))
    assert (resumed.at, resumed.missing) == (Position("first", 0, 5, (8,)), 0)


def test_a_log_that_lost_its_end_is_another_log_from_there_on() -> None:
    before, now = Position("first", 0, 100, (8,)), Bounds("first", 0, 90, 8)
    assert resume(before, now).at == before
    assert resume(before, now, is_refused=True).at == Position("first", 1, 90, (8,))


def test_records_from_before_a_topic_grew_are_judged_by_the_former_number() -> None:
    now = Bounds("first", 20, 90, 12)
    for before in (Position("first", 0, 30, (8,)), Position("first", 0, 10, (8,))):
        assert resume(before, now).at.counts == (8,)
    assert resume(Position("second", 0, 30, (8,)), now).at.counts == (12,)
    assert resume(None, now).at.counts == (12,)
