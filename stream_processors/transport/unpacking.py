"""Bounds the decompressed size of a Kafka batch.

The broker limits compressed bytes: 6 kB of zstd may be 200 MB, and a batch of 1 MiB more than a
worker's memory.
"""

import gzip
import io
import mmap
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import cramjam
from aiokafka.codec import snappy_decode

UNPACKED_BYTES_MAX: Final = 64 << 20
"""Producers limit a batch's size before compression: 1 MB in librdkafka, 16 kB in Java."""
_NO_ROOM: Final = "failed to write whole buffer"
"""cramjam's error when the output exceeds the buffer."""


class UnpacksTooLargeError(ValueError):
    """A batch decompresses to more than a worker accepts."""

    def __init__(self, packed_bytes: int) -> None:
        super().__init__(f"{packed_bytes} bytes are more than {UNPACKED_BYTES_MAX} once unpacked")


class _Room(threading.local):
    """A thread's output buffer: memory that costs nothing until it is written to."""

    def __init__(self) -> None:
        self.room = mmap.mmap(-1, UNPACKED_BYTES_MAX)


_ours = _Room()


def unpacked(codec: int, payload: memoryview) -> bytes:
    """Decompress the records of a Kafka batch.

    Args:
        codec: its number in Kafka's protocol, of a batch that is compressed.
        payload: the batch without its header.

    Raises:
        Exception: it cannot be decompressed; each codec has errors of its own.
    """
    if codec not in _DECODERS:
        raise ValueError(f"codec {codec} is unknown")
    return _DECODERS[codec](payload.tobytes())


def _into_room(decompress_into: Callable[[Any, Any], int]) -> Callable[[Any], bytes]:
    def decode(payload: Any) -> bytes:
        try:
            n = decompress_into(payload, _ours.room)
        except cramjam.DecompressionError as error:
            if _NO_ROOM in str(error):
                raise UnpacksTooLargeError(len(payload)) from None
            raise
        return _ours.room[:n]

    return decode


def _gzip(payload: Any) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(payload)) as file:
        content = file.read(UNPACKED_BYTES_MAX + 1)
    if len(content) > UNPACKED_BYTES_MAX:
        raise UnpacksTooLargeError(len(payload))
    return content


_DECODERS: Final[Mapping[int, Callable[[bytes], bytes]]] = {
    1: _gzip,
    2: snappy_decode,  # its format bounds it: three bytes become at most 64
    3: _into_room(cramjam.lz4.decompress_into),
    4: _into_room(cramjam.zstd.decompress_into),
}
