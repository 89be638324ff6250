"""The decompressed size of a batch is bounded, for any codec."""

import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream_processors.transport.contents import unpacked

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEADER_BYTES = 61
MB = 1_000_000
# Memory growth allowed when unpacking 120 MB: the bound, plus the interpreter's overhead.
GROWS_BY_MB = 90


def packed(codec: str, *values: bytes) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=CODECS[codec], is_transactional=0, producer_id=-1,
        producer_epoch=-1, base_sequence=-1, batch_size=2**30,
    )  # fmt: skip
    for offset, value in enumerate(values):
        builder.append(offset, 1_795_884_284_302, b"4", value, [])
    return bytes(builder.build())


def payload_of(batch: bytes) -> bytes:
    return unpacked(batch[22], memoryview(batch)[HEADER_BYTES:])


@pytest.mark.parametrize("codec", list(CODECS)[1:])
def test_normal_batches_are_unpacked(codec: str) -> None:
    values = [b"a", b"", b"b" * MB, bytes(range(256)) * 1_000]
    for some in (values, [bytes(99)]):  # nothing is left of the previous one
        assert payload_of(packed(codec, *some)) == packed("none", *some)[HEADER_BYTES:]


PROGRAM = """
import re, sys
from tests.stream_processors.transport.test_unpacking import packed, payload_of
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
    done = subprocess.run([sys.executable, "-c", PROGRAM, *batches], capture_output=True, text=True)
    grown = list(map(int, done.stdout.split()))
    assert len(grown) == len(batches), done.stderr
    assert max(grown) < GROWS_BY_MB
