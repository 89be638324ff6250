"""Batches that aiokafka's parser rejects are read record by record, and nothing else is lost."""

import random
import struct

import pytest
from aiokafka.errors import KafkaError
from aiokafka.record.util import encode_varint

from stream_processors.transport import salvage
from tests.raw_batches import POISON, Raw, batch_of

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEADER_BYTES = 61
RECORDS = [
    Raw(b"a", b"1"),
    Raw(b"b", b"2", [(b"fine", b"yes"), (POISON, b"x")]),
    Raw(None, None, [(b"fine", None)]),
    Raw(b"d", b"4", [(POISON, None)]),
    Raw(bytes(1_000)),  # otherwise compression saves nothing, and aiokafka skips it
]


def based_at(batch: bytes, offset: int) -> bytes:
    return struct.pack(">q", offset) + batch[8:]


@pytest.mark.parametrize("compression", CODECS.values(), ids=CODECS)
def test_a_record_whose_headers_name_is_not_utf_8_is_bad_alone_with_its_key_and_value(
    compression: int,
) -> None:
    good, bad = salvage.records_of(based_at(batch_of(RECORDS, compression), 70))
    assert [(r.offset, r.key, r.value, r.headers) for r in good] == [
        (70, b"1", b"a", []),
        (72, None, None, [("fine", None)]),
        (74, None, bytes(1_000), []),
    ]
    assert [one[:3] for one in bad] == [(71, b"2", b"b"), (73, b"4", b"d")]
    assert all("a header's name is not UTF-8" in one.reason for one in bad)


def test_a_malformed_record_is_bad_alone_with_all_its_bytes() -> None:
    batch = bytearray(batch_of([Raw(b"aaaa"), Raw(b"bbbb"), Raw(b"cccc")]))
    at = batch.index(b"\x08bbbb")
    batch[at] = 0x7E  # a value of 63 bytes, of which the record has 4
    good, (bad,) = salvage.records_of(bytes(batch))
    assert [(r.offset, r.value) for r in good] == [(0, b"aaaa"), (2, b"cccc")]
    assert (bad.offset, bad.key) == (1, None)
    assert b"bbbb" in (bad.value or b"")
    assert "cannot be parsed" in bad.reason


@pytest.mark.parametrize("size", [2**20, 2**40, 2**62])
def test_a_length_far_past_the_batch_reads_nothing_there(size: int) -> None:
    batch = bytearray(batch_of([Raw(b"aaaa"), Raw(bytes(16)), Raw(b"cccc")]))
    at = batch.index(b"\x20" + bytes(16))
    lied: list[int] = []
    encode_varint(size, lied.append)
    batch[at : at + len(lied)] = lied
    good, (bad,) = salvage.records_of(bytes(batch))
    assert [(r.offset, r.value) for r in good] == [(0, b"aaaa"), (2, b"cccc")]
    assert "cannot be parsed" in bad.reason


def test_where_a_length_is_wrong_the_rest_of_the_batch_is_one_bad_record() -> None:
    batch = bytearray(batch_of([Raw(b"aaaa"), Raw(b"bbbb"), Raw(b"cccc")]))
    batch[batch.index(b"\x08bbbb") - 5] = 0x7D  # a negative length
    good, (bad,) = salvage.records_of(bytes(batch))
    assert [r.offset for r in good] == [0]
    assert (bad.offset, bad.value) == (1, bytes(batch[batch.index(b"\x08bbbb") - 5 :]))
    assert "2 records" in bad.reason


def test_a_batch_that_cannot_be_unpacked_is_one_bad_record() -> None:
    batch = batch_of([Raw(bytes(1_000))], CODECS["gzip"])
    broken = batch[:HEADER_BYTES] + b"no gzip"
    good, (bad,) = salvage.records_of(based_at(broken, 5))
    assert good == []
    assert (bad.offset, bad.value) == (5, based_at(broken, 5))
    assert "cannot be unpacked" in bad.reason


def test_for_any_batch_records_are_within_its_offsets_and_ascending() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    whole = batch_of(RECORDS)
    for _ in range(5_000):
        batch = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            batch[chance.randrange(HEADER_BYTES, len(batch))] = chance.randrange(256)
        try:
            good, bad = salvage.records_of(bytes(batch))
        except KafkaError:
            continue
        for some in (good, bad):
            offsets = [one.offset for one in some]
            assert offsets == sorted(offsets)
            assert set(offsets) <= set(range(len(RECORDS)))
