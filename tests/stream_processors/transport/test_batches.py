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


@given(steps=steps, n=st.integers(1, 25), beyond=st.integers(0, 3))
def test_a_split_is_the_batch_without_gap_or_overlap_each_record_at_its_own_offset(
    steps: list[int], n: int, beyond: int
) -> None:
    offsets = list(itertools.accumulate(steps, initial=7))
    end = offsets[-1] + 1 + beyond
    missing = sorted({*range(7, end)} - {*offsets})
    unreadable = [BadRecord(offset, None, b"", "why") for offset in missing]
    batch = dataclasses.replace(batch_of(*map(record, offsets), end=end), unreadable=unreadable)
    assert batch.offsets().tolist() == offsets
    head, rest = batch.split(n)
    assert [*head.records, *rest.records] == [*batch.records]
    assert len(head) == min(n, len(batch))
    assert (head.start, head.end, rest.end) == (batch.start, rest.start, batch.end)
    assert {(half.tp, half.life) for half in (head, rest)} == {(batch.tp, batch.life)}
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
