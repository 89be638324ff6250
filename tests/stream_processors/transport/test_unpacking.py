"""The decompressed size of a batch is bounded, for any codec."""

import subprocess
import sys

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


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_small_batch_that_unpacks_to_120_mb_takes_no_more_memory_than_the_bound(
    codec: str,
) -> None:
    batch = packed(codec, b" " * (120 * MB))
    assert len(batch) < MB
    code = (
        "import re, sys\n"
        "from tests.stream_processors.transport.test_unpacking import packed, payload_of\n"
        "payload_of(packed('zstd', b'4'))\n"
        # Not `ru_maxrss`, which begins with that of the process that started this one.
        "peak = lambda: int(re.search('VmHWM:.*?(\\d+)', open('/proc/self/status').read())[1])\n"
        "before = peak()\n"
        "try: payload_of(sys.stdin.buffer.read())\n"
        "except ValueError: print((peak() - before) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=batch, capture_output=True)
    assert int(done.stdout or -1) in range(GROWS_BY_MB), done.stderr.decode()
