import dataclasses
import itertools
import time
from unittest import mock

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from contracts.batches import decode_quotes
from contracts.messages import MAX_AHEAD_MS, Quote, Rejection, encode
from stream_processors.records import NONE, Records
from stream_processors.transport.batches import BadRecord, BatchSchema, RecordBatch

STAMP_MS = 1_700_000_000_000
BY_THE_PRODUCER, BY_THE_BROKER = 0, 1

steps = st.lists(st.integers(1, 5), min_size=1, max_size=20)


def record(
    offset: int,
    value: bytes | None = b"",
    *,
    key: bytes | None = None,
    timestamp_ms: int = STAMP_MS,
    timestamp_type: int = BY_THE_BROKER,
) -> ConsumerRecord[bytes | None, bytes | None]:
    return ConsumerRecord(
        "quotes", 0, offset, timestamp_ms, timestamp_type, key, value, None, -1, -1, ()
    )


def batch_of(*records: ConsumerRecord[bytes | None, bytes | None], end: int = 0) -> RecordBatch:
    start = records[0].offset if records else 0
    end = end or (records[-1].offset + 1 if records else 0)
    return RecordBatch(TP("quotes", 0), "life", start, end, Records.of(records))


@given(first=st.integers(0, 2**40), steps=steps)
def test_offsets_are_the_records_own_even_with_gaps(first: int, steps: list[int]) -> None:
    offsets = list(itertools.accumulate(steps, initial=first))
    batch = batch_of(*map(record, offsets))
    assert batch.offsets().tolist() == offsets
    assert len(batch) == len(offsets)


@given(steps=steps, n=st.integers(1, 25), beyond=st.integers(0, 3))
def test_a_split_is_the_batch_without_gap_or_overlap(steps: list[int], n: int, beyond: int) -> None:
    offsets = list(itertools.accumulate(steps, initial=7))
    batch = batch_of(*map(record, offsets), end=offsets[-1] + 1 + beyond)
    head, rest = batch.split(n)
    assert [*head.records, *rest.records] == [*batch.records]
    assert len(head) == min(n, len(batch))
    assert (head.start, head.end, rest.end) == (batch.start, rest.start, batch.end)
    assert {(half.tp, half.life) for half in (head, rest)} == {(batch.tp, batch.life)}


@given(steps=steps, n=st.integers(1, 25))
def test_a_split_keeps_unparsable_records_in_place(steps: list[int], n: int) -> None:
    offsets = list(itertools.accumulate(steps, initial=7))
    end = offsets[-1] + 2
    unreadable = [
        BadRecord(offset, None, b"", "why") for offset in sorted({*range(7, end)} - {*offsets})
    ]
    batch = dataclasses.replace(batch_of(*map(record, offsets), end=end), unreadable=unreadable)
    head, rest = batch.split(n)
    assert [*head.unreadable, *rest.unreadable] == unreadable
    for half in (head, rest):
        assert all(half.start <= one.offset < half.end for one in half.unreadable)


def test_what_is_bad_is_what_was_rejected_and_what_cannot_be_parsed() -> None:
    unreadable = BadRecord(5, None, b"raw", "cannot be parsed")
    batch = dataclasses.replace(
        batch_of(record(4, b"a", key=b"k"), record(6, b"b")), unreadable=[unreadable]
    )
    assert batch.bad([Rejection(0, "malformed")]) == [(4, b"k", b"a", "malformed"), unreadable]


def test_a_batch_without_records_reaches_its_end() -> None:
    empty = RecordBatch(TP("quotes", 0), "life", 5, 7, NONE)
    assert empty.split(3)[0] is empty
    assert empty.offsets().tolist() == empty.values() == empty.clock_ms().tolist() == []
    assert empty.size_bytes == 0


def test_values_come_in_the_logs_order_absent_ones_included() -> None:
    batch = batch_of(record(4, b"a"), record(5, None), record(9, b"b"))
    assert batch.values() == [b"a", None, b"b"]


def test_a_size_grows_by_values_and_records() -> None:
    alone = batch_of(record(0, None)).size_bytes
    assert batch_of(record(0, b"four")).size_bytes == alone + 4
    three = batch_of(record(0, None), record(1, b"four"), record(2, None))
    assert three.size_bytes == 3 * alone + 4


@pytest.mark.parametrize(
    ("stamped_ms_ago", "by", "counts_ms_ago"),
    [
        (60_000, BY_THE_BROKER, 60_000),
        (-60_000, BY_THE_BROKER, -60_000),
        (60_000, BY_THE_PRODUCER, 0),
        (-60_000, BY_THE_PRODUCER, 0),
    ],
    ids=["by the broker", "by a broker ahead of us", "by a slow producer", "by a fast producer"],
)
def test_a_brokers_timestamp_counts_regardless_of_our_clock_but_not_a_producers(
    stamped_ms_ago: int, by: int, counts_ms_ago: int
) -> None:
    before_ms = time.time_ns() // 1_000_000
    stamped = record(0, timestamp_ms=before_ms - stamped_ms_ago, timestamp_type=by)
    clock_ms = int(batch_of(stamped).clock_ms()[0])
    after_ms = time.time_ns() // 1_000_000
    assert before_ms - counts_ms_ago <= clock_ms <= after_ms - counts_ms_ago


def test_each_record_has_its_own_clock() -> None:
    records = [record(n, timestamp_ms=1_000 + n) for n in range(3)]
    assert batch_of(*records).clock_ms().tolist() == [1_000, 1_001, 1_002]


def test_in_a_batch_with_both_kinds_of_timestamps_each_record_uses_its_own() -> None:
    by = [BY_THE_BROKER, BY_THE_PRODUCER, BY_THE_BROKER, BY_THE_PRODUCER]
    records = [record(n, timestamp_ms=1_000 + n, timestamp_type=kind) for n, kind in enumerate(by)]
    clock_ms = batch_of(*records).clock_ms().tolist()
    assert (clock_ms[0], clock_ms[2]) == (1_000, 1_002)
    assert min(clock_ms[1], clock_ms[3]) > STAMP_MS


@given(behind_s=st.integers(0, 7 * 86_400))
def test_workers_whose_clocks_differ_reject_the_same_records(behind_s: int) -> None:
    live = [encode(Quote(instrument_id=4, price=1, ts=STAMP_MS))] * 3
    ahead = encode(Quote(instrument_id=4, price=1, ts=STAMP_MS + MAX_AHEAD_MS + 1))
    batch = batch_of(*(record(n, value) for n, value in enumerate([*live, ahead])))
    slow_ns = (STAMP_MS - behind_s * 1_000) * 1_000_000
    with mock.patch("time.time_ns", return_value=slow_ns):
        _, rejections = decode_quotes(batch.values(), batch.clock_ms())
    assert [place for place, _ in rejections] == [3]


def test_the_schema_passes_a_batch_on_unchanged() -> None:
    class Message:
        key = b"4"
        value = batch_of(record(0))

    schema = BatchSchema()
    assert schema.loads_value(None, Message) is Message.value  # type: ignore[arg-type]
    assert schema.loads_key(None, Message) == b"4"  # type: ignore[arg-type]
