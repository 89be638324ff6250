"""A Kafka batch's records: found alike by machine code and by Python, bounded, and split.

`FUZZ_BATCHES=100000` tries so many mutated batches.
"""

import dataclasses
import itertools
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record._crecords import DefaultRecordBatchBuilder as Builder
from aiokafka.record.default_records import _DefaultRecordBatchPy as TheirBatch
from aiokafka.record.util import decode_varint_py, encode_varint
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.compiled import CODE, frames
from stream_processors.records import PRODUCERS_STAMP
from stream_processors.transport.batches import BadRecord, RecordBatch
from stream_processors.transport.contents import Batch, opened, read, unpacked
from tests.commands import run
from tests.raw_batches import POISON, Raw, batch_of, patched
from tests.stream_processors.folding import record

FUZZ_BATCHES = int(os.environ.get("FUZZ_BATCHES", "3000"))
HEADER_BYTES = 61
BASE, STAMP_MS = 70, 1_700_000_000_000
ABC = [Raw(b"aaaa", b"1"), Raw(b"bbbb", b"2"), Raw(b"cccc", b"3")]
NEXT = patched(batch_of([Raw(b"next")], 0, STAMP_MS), base_offset=2**40)

some_bytes = st.one_of(st.none(), st.binary(max_size=20), st.binary(min_size=100, max_size=200))
headers = st.lists(st.tuples(st.text(max_size=5), some_bytes), max_size=3)
records = st.lists(
    st.tuples(st.integers(1, 300), st.integers(-1000, 2**40), some_bytes, some_bytes, headers),
    min_size=1,
    max_size=12,
)
Found = tuple[list[Any], list[BadRecord]]


class Watched(bytes):
    """Bytes that nobody reads outside."""

    def __getitem__(self, at: Any) -> Any:
        assert isinstance(at, slice) or 0 <= at < len(self)
        return super().__getitem__(at)


def in_python(data: bytes, *others: Any) -> int:
    return frames.interpreted(Watched(data), *others)


def found(*raws: bytes, first_offset: int = 0) -> Found:
    """Return the good and the bad records of batches; both ways of reading them agree."""
    both = []
    for way in (CODE.read_frames, in_python):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CODE, "read_frames", way)
            batches = [opened(memoryview(raw)) for raw in raws]
            good, bad = read(batches, first_offset)
            stamps = good.columns.appended_at.tolist()
            both.append(([(*r, t) for r, t in zip(good, stamps, strict=True)], bad))
    assert both[0] == both[1]
    return both[0]


def theirs(raw: bytes) -> list[Any]:
    """Return the records as aiokafka parses them, or raise its error."""
    batch = iter(TheirBatch(raw))
    stamp = batch.max_timestamp if batch.timestamp_type else -1
    # Not its varints in C, which read past the end: that ends the process.
    its = [batch._read_msg(decode_varint_py) for _ in range(batch._num_records)]
    assert batch._pos == len(batch._buffer)
    return [(r.offset, r.key, r.value, tuple(r.headers), stamp) for r in its]


def written(given_: list[Any], compression: int = 0) -> bytes:
    """Return a batch, as aiokafka's producer writes it, of records with gaps between them."""
    builder = Builder(2, compression, 0, -1, -1, -1, 1 << 24)
    offset = -1
    for step, later_ms, key, value, its_headers in given_:
        offset += step
        builder.append(offset, STAMP_MS + later_ms, key, value, its_headers)
    return bytes(builder.build())


def based(records_: list[Raw], compression: int = 0, **fields: int) -> bytes:
    return patched(batch_of(records_, compression, STAMP_MS), base_offset=BASE, **fields)


@given(batches=st.lists(records, min_size=1, max_size=3), compression=st.integers(0, 4))
def test_batches_are_read_as_aiokafka_parses_them(batches: list[Any], compression: int) -> None:
    raws = [written(one, compression) for one in batches]
    assert found(*raws) == ([r for raw in raws for r in theirs(raw)], [])


@pytest.mark.parametrize("compression", range(5))
def test_a_record_whose_headers_name_is_not_utf_8_is_bad_alone_with_its_key_and_value(
    compression: int,
) -> None:
    fine, poison = ("éࠀ€𐍈".encode(), b"yes"), (POISON, b"x")
    raws = [
        Raw(b"b", b"2", [fine, poison]),
        Raw(None, None, [fine, (b"", None)]),
        Raw(b"d", b"4", [poison, fine]),
        Raw(bytes(1_000)),  # otherwise compression saves nothing, and aiokafka skips it
    ]
    good, bad = found(based(raws, compression))
    assert [r[:4] for r in good] == [
        (71, None, None, (("éࠀ€𐍈", b"yes"), ("", None))),
        (73, None, bytes(1_000), ()),
    ]
    why = "a header's name is not UTF-8"
    assert bad == [(70, b"2", b"b", why), (72, b"4", b"d", why)]


@given(st.one_of(st.binary(max_size=6), st.text(max_size=4).map(str.encode)))
def test_a_headers_name_is_text_if_python_says_so(name: bytes) -> None:
    good, bad = found(batch_of([Raw(b"", None, [(name, None)])]))
    try:
        expected = [((name.decode(), None),)]
    except UnicodeDecodeError:
        expected = []
    assert [r[3] for r in good] == expected
    assert len(bad) == 1 - len(expected)


@pytest.mark.parametrize("attributes", [1, 127, 128, 255])
def test_a_records_attributes_are_one_byte_that_means_nothing(attributes: int) -> None:
    """As in Kafka's DefaultRecord.readFrom and librdkafka's rd_kafka_msgset_reader_msg_v2."""
    raw = bytearray(batch_of(ABC))
    raw[HEADER_BYTES + 1] = attributes
    assert found(bytes(raw)) == found(batch_of(ABC))


Good = list[tuple[int, bytes | None, bytes | None]]
"""offset, key and value"""
Bad = list[tuple[int, bytes | None, bytes | None, str]]
"""the same, and a part of the reason"""


def deltas(its: list[int], wrong: dict[int, str], **fields: int) -> tuple[bytes, Good, Bad]:
    """Return a batch of records with these deltas of the offset."""
    raws = [Raw(b"%d" % at, b"k", delta=delta) for at, delta in enumerate(its)]
    records = [(BASE + at, b"k", b"%d" % at) for at in range(len(its))]
    bad = [(*records[at], why) for at, why in wrong.items()]
    return based(raws, **fields), [r for at, r in enumerate(records) if at not in wrong], bad


def changed(
    old: bytes, new: bytes, reason: str, key: bytes | None = None, value: bytes | None = None
) -> tuple[bytes, Good, Bad]:
    """Return a batch whose second record is malformed; without a value all of it is kept."""
    value = A_RECORD.replace(old, new, 1) if value is None else value
    assert A_RECORD in based(ABC)
    return based(ABC).replace(old, new, 1), [AAAA, CCCC], [(71, key, value, reason)]


def varint(value: int) -> bytes:
    its: list[int] = []
    encode_varint(value, its.append)
    return bytes(its)


A_RECORD = varint(11) + bytes((0, 0, 2, 2)) + b"2\x08bbbb\x00"
AAAA, BBBB, CCCC = ((70 + n, r.key, r.value) for n, r in enumerate(ABC))
TOO_LONG, HEADERS = "exceed its length", "headers cannot be parsed"


@pytest.mark.parametrize(
    ("raw", "good", "bad"),
    [
        deltas([0, 1, 2], {}),
        deltas([0, 1_000_000, 2], {1: "which should be 1 to 1"}),
        deltas([1_000_000, 1, 2], {0: "which should be 0 to 0"}),
        deltas([0, 1, 2**31 - 1], {2: "which should be 2 to 2"}),
        deltas([0, 0, 0], {1: "offset delta is 0", 2: "offset delta is 0"}),
        deltas([0, -1, 2], {1: "offset delta is -1"}),
        deltas([0, 2, 1], {1: "offset delta is 2", 2: "offset delta is 1"}),
        deltas([0, 4, 2, 3, 4], {1: "offset delta is 4"}),
        (  # compacted: good where the others have room
            based([Raw(b"", delta=delta) for delta in (2, 9, 5, 8)], last_offset_delta=9),
            [(BASE + at, None, b"") for at in (2, 5, 8)],
            [(BASE + 3, None, b"", "9, which should be 3 to 7")],
        ),
        *(
            changed(b"\x08bbbb", varint(size) + b"bbbb"[len(varint(size)) - 1 :], TOO_LONG)
            for size in (6, 2**20, 2**31)
        ),
        changed(b"\x02" + b"2", b"\x7e" + b"2", TOO_LONG),
        changed(b"bbbb\x00", b"bbbb\x02", HEADERS, b"2", b"bbbb"),
        changed(b"bbbb\x00", b"bbbb\x01", HEADERS, b"2", b"bbbb"),
        changed(b"\x08bbbb\x00", b"\x06bbb\x00\x00", HEADERS, b"2", b"bbb"),
        # What is no record is bad with all its bytes.
        (
            based(ABC).replace(A_RECORD, b"\x17" + A_RECORD[1:]),
            [AAAA],
            [
                (
                    71,
                    None,
                    b"\x17" + based(ABC)[HEADER_BYTES + 13 :],
                    "2 records from here on",
                )
            ],
        ),
        (
            patched(based(ABC) + b"more"),
            [AAAA, BBBB, CCCC],
            [(72, None, b"more", "no record, after the last")],
        ),
        (
            based(ABC, n=5, last_offset_delta=4),
            [AAAA, BBBB, CCCC],
            [(73, None, b"", "2 records from here on")],
        ),
        *(
            (broken, [], [(BASE, None, broken, reason)])
            for broken, reason in [
                (based(ABC, n=4), "4 records in 3 offsets"),
                (based(ABC, n=-1), "-1 records in 3 offsets"),
                (based(ABC, last_offset_delta=10**6), "more than 1000000"),
                (based(ABC, attributes=5), "cannot be unpacked: codec 5 is unknown"),
                (based(ABC, attributes=1), "a batch of 3 records cannot be unpacked: "),
                (based(ABC, magic=1), "format 1 is not parsed"),
                (based(ABC, magic=3), "format 3 is not parsed"),
            ]
        ),
    ],
)
def test_a_bad_record_is_bad_alone_with_what_can_be_read(raw: bytes, good: Good, bad: Bad) -> None:
    right, wrong = found(raw, NEXT)
    assert [r[:3] for r in right] == [*good, (2**40, None, b"next")]
    assert [one[:3] for one in wrong] == [one[:3] for one in bad]
    assert all(its[3] in one.reason for one, its in zip(wrong, bad, strict=True))


def test_a_batch_emptied_by_compaction_has_nothing() -> None:
    empty = patched(based(ABC)[:HEADER_BYTES], n=0, attributes=4)
    assert found(empty) == ([], [])
    assert opened(memoryview(empty)).offset == BASE + 2


@pytest.mark.parametrize("fields", [{"base_offset": -1}, {"base_offset": 2**63 - 1},
                                    {"last_offset_delta": -1}])  # fmt: skip
def test_offsets_that_no_log_has_are_an_error(fields: dict[str, int]) -> None:
    with pytest.raises(CorruptRecordException, match="a batch has offsets"):
        opened(memoryview(patched(based(ABC), **fields)))


def test_brokers_timestamps_are_those_of_the_batch() -> None:
    good, _ = found(based(ABC, attributes=8, max_timestamp=STAMP_MS))
    assert [r[-1] for r in good] == [STAMP_MS] * 3


def test_a_fetch_from_the_middle_of_a_batch_begins_there() -> None:
    raw = based([*ABC, Raw(b"dddd", delta=9), Raw(b"eeee")])
    good, bad = found(raw, first_offset=72)
    assert ([r[0] for r in good], [one.offset for one in bad]) == ([72, 74], [73])
    good, bad = found(raw, based(ABC, n=-1), first_offset=74)
    assert ([r[0] for r in good], bad) == ([74], [])


def mutated(chance: random.Random) -> Iterator[bytes]:
    """Yield batches, most of which are not as anybody writes them."""
    names = [b"a", b"traceparent", "é".encode(), POISON]
    fields = {
        "last_offset_delta": lambda: chance.choice([0, 1, 5, 20, chance.randrange(-2, 2**31)]),
        "n": lambda: chance.choice([0, 1, 5, 20, chance.randrange(-(2**31), 2**31)]),
        "attributes": lambda: chance.choice([0, 8, 16, chance.randrange(64)]),
        "max_timestamp": lambda: chance.randrange(-(2**63), 2**63),
        "base_offset": lambda: chance.randrange(2**63),
    }
    while True:
        raws = []
        for place in range(chance.randrange(1, 8)):
            value, key = chance.randbytes(chance.randrange(200)), chance.randbytes(9)
            headers_ = [(chance.choice(names), chance.choice([None, b"x"]))] * chance.randrange(3)
            delta = chance.choice([0, -1, 3, 2**31 - 1]) if chance.random() < 0.1 else place
            raws.append(
                Raw(value, key, headers_ if chance.random() < 0.3 else (), delta)
                if chance.random() < 0.9
                else Raw(None)
            )
        raw = bytearray(batch_of(raws, 0, STAMP_MS))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(HEADER_BYTES, len(raw) + 1)
            odd = chance.choice([0, 1, 2, 126, 127, 128, 129, 255, chance.randrange(256)])
            cut = chance.choice([0, 1, 1, 1, 1, chance.randrange(30)])
            raw[at : at + cut] = bytes([odd]) * (1 if cut else chance.choice([1, 9, 10]))
        its = {name: value() for name, value in fields.items() if chance.random() < 0.05}
        yield patched(bytes(raw), **its)


def attributes_of(raw: bytes) -> list[int]:
    """Return the attributes of the records that aiokafka finds, which reads a varint there."""
    at, its = HEADER_BYTES, []
    for _ in range(TheirBatch(raw)._num_records):
        size, at = frames._varint_at(raw, at, len(raw))
        its.append(raw[at])
        at += size
    return its


def test_what_aiokafka_parses_of_mutated_batches_is_read_and_the_rest_accounted_for(
    seed: int,
) -> None:
    chance = random.Random(seed)
    compared = 0
    for _, raw in zip(range(FUZZ_BATCHES), mutated(chance), strict=False):
        try:
            batch = opened(memoryview(raw))
        except CorruptRecordException:
            continue
        good, bad = found(raw, NEXT)
        assert good.pop()[2] == b"next"
        offsets = [r[0] for r in good]
        assert offsets == sorted(set(offsets))
        assert [one.offset for one in bad] == sorted(one.offset for one in bad)
        assert all(batch.base_offset <= o <= batch.offset for o in [*offsets, *(b[0] for b in bad)])
        if not bad:
            assert len(good) == batch.n
        try:
            expected = theirs(raw)
        except Exception:  # noqa: BLE001 (each codec has errors of its own)
            continue
        its = [batch.base_offset, *(r[0] for r in expected), batch.offset]
        legal = its[1:-1] == sorted(set(its[1:-1])) and its == sorted(its)
        if legal and not batch.fault and max(attributes_of(raw), default=0) < 128:
            compared += 1
            assert (good, bad) == (expected, [])
    print(f"{compared} of {FUZZ_BATCHES} compared")
    assert compared > FUZZ_BATCHES / 10


CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
MB = 1_000_000
# Memory growth allowed when unpacking 120 MB: the bound, plus the interpreter's overhead.
GROWS_BY_MB = 90


def packed(codec: str, *values: bytes) -> bytes:
    return written([(1, 0, b"4", value, []) for value in values], CODECS[codec])


def payload_of(batch: bytes) -> bytes:
    return unpacked(batch[22], memoryview(batch)[HEADER_BYTES:])


@pytest.mark.parametrize("codec", list(CODECS)[1:])
def test_normal_batches_are_unpacked(codec: str) -> None:
    values = [b"a", b"", b"b" * MB, bytes(range(256)) * 1_000]
    for some in (values, [bytes(99)]):  # nothing is left of the previous one
        assert payload_of(packed(codec, *some)) == packed("none", *some)[HEADER_BYTES:]


PROGRAM = """
import re, sys
from tests.stream_processors.transport.test_contents import packed, payload_of
payload_of(packed("zstd", b"4"))
# Not `ru_maxrss`, which begins with that of the process that started this one.
peak = lambda: int(re.search(r"VmHWM:.*?(\\d+)", open("/proc/self/status").read())[1])
before = peak()
for batch in sys.argv[1:]:
    try: payload_of(open(batch, "rb").read())
    except ValueError: print((peak() - before) // 1024)
"""


def test_small_batches_that_unpack_to_120_mb_take_no_more_memory_than_the_bound(
    tmp_path: Path,
) -> None:
    batches = {
        tmp_path / codec: packed(codec, b" " * (120 * MB)) for codec in ("gzip", "lz4", "zstd")
    }
    for path, batch in batches.items():
        assert len(batch) < MB
        path.write_bytes(batch)
    done = run(sys.executable, "-c", PROGRAM, *batches)
    grown = list(map(int, done.stdout.split()))
    assert len(grown) == len(batches), done.stderr
    assert max(grown) < GROWS_BY_MB


steps = st.lists(st.integers(1, 5), min_size=1, max_size=20)


def whole(*records: Batch, end: int = 0) -> RecordBatch:
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
    batch = dataclasses.replace(whole(*map(record, offsets), end=end), unreadable=unreadable)
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
    alone = whole(record(0, None)).size_bytes
    assert whole(record(0, b"four")).size_bytes == alone + 4
    three = whole(record(0, None), record(1, b"four"), record(2, None))
    assert three.size_bytes == 3 * alone + 4


def test_each_record_has_its_own_brokers_timestamp_and_our_clock_without_one() -> None:
    before_ms = time.time_ns() // 1_000_000
    ahead_ms = before_ms + 60_000
    stamps = [1_000, PRODUCERS_STAMP, ahead_ms, PRODUCERS_STAMP]
    records = [record(n, appended_at=stamp) for n, stamp in enumerate(stamps)]
    clock_ms = whole(*records).clock_ms().tolist()
    assert clock_ms == [1_000, clock_ms[1], ahead_ms, clock_ms[1]]
    assert before_ms <= clock_ms[1] <= time.time_ns() // 1_000_000
