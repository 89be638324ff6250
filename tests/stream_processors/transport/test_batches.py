import dataclasses
import itertools
import time

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.records import PRODUCERS_STAMP
from stream_processors.transport.batches import BadRecord, RecordBatch
from stream_processors.transport.contents import Batch, read
from tests.stream_processors.records import record

STAMP_MS = 1_700_000_000_000

steps = st.lists(st.integers(1, 5), min_size=1, max_size=20)


def batch_of(*records: Batch, end: int = 0) -> RecordBatch:
    start = records[0].offset
    end = end or records[-1].offset + 1
    return RecordBatch(TP("quotes", 0), "life", start, end, read(records, 0)[0])


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


def test_a_size_grows_by_values_and_records() -> None:
    alone = batch_of(record(0, None)).size_bytes
    assert batch_of(record(0, b"four")).size_bytes == alone + 4
    three = batch_of(record(0, None), record(1, b"four"), record(2, None))
    assert three.size_bytes == 3 * alone + 4


def test_each_record_has_its_own_brokers_timestamp_and_our_clock_without_one() -> None:
    before_ms = time.time_ns() // 1_000_000
    ahead_ms = before_ms + 60_000
    stamps = [1_000, PRODUCERS_STAMP, ahead_ms, PRODUCERS_STAMP]
    records = [record(n, appended_at=stamp) for n, stamp in enumerate(stamps)]
    clock_ms = batch_of(*records).clock_ms().tolist()
    assert clock_ms == [1_000, clock_ms[1], ahead_ms, clock_ms[1]]
    assert before_ms <= clock_ms[1] <= time.time_ns() // 1_000_000
