import time

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.transport import BatchSchema, RecordBatch

from .records import batch_of, record

gaps = st.lists(st.integers(1, 5), min_size=1, max_size=20)


@given(first=st.integers(0, 2**40), steps=gaps)
def test_offsets_are_the_records_own_even_with_gaps(first: int, steps: list[int]) -> None:
    offsets = [first + sum(steps[:n]) for n in range(len(steps))]
    batch = batch_of("quotes", 0, [(offset, b"") for offset in offsets])
    assert batch.offsets().tolist() == offsets
    assert batch.next_offset == offsets[-1] + 1
    assert len(batch) == len(offsets)


def test_values_come_in_the_logs_order_absent_ones_included() -> None:
    batch = batch_of("quotes", 0, [(4, b"a"), (5, None), (9, b"b")])
    assert batch.values() == [b"a", None, b"b"]


@pytest.mark.parametrize(
    ("appended_ms_ago", "counts_ms_ago"),
    [(60_000, 60_000), (-60_000, 0), (None, 0)],
    ids=["in the past", "a clock ahead of ours", "without a timestamp"],
)
def test_a_record_is_judged_by_the_earlier_of_two_clocks(
    appended_ms_ago: int | None, counts_ms_ago: int
) -> None:
    before_ms = time.time_ns() // 1_000_000
    stamp = -1 if appended_ms_ago is None else before_ms - appended_ms_ago
    batch = RecordBatch(TP("quotes", 0), [record("quotes", 0, 0, b"", timestamp_ms=stamp)])
    clock_ms = int(batch.clock_ms()[0])
    after_ms = time.time_ns() // 1_000_000
    assert before_ms - counts_ms_ago <= clock_ms <= after_ms - counts_ms_ago


def test_each_record_has_its_own_clock() -> None:
    records = [record("quotes", 0, n, b"", timestamp_ms=1_000 + n) for n in range(3)]
    assert RecordBatch(TP("quotes", 0), records).clock_ms().tolist() == [1_000, 1_001, 1_002]


def test_the_schema_hands_a_batch_on_as_it_is() -> None:
    class Message:
        key = b"4"
        value = batch_of("quotes", 0, [(0, b"")])

    schema = BatchSchema()
    assert schema.loads_value(None, Message) is Message.value  # type: ignore[arg-type]
    assert schema.loads_key(None, Message) == b"4"  # type: ignore[arg-type]
