"""Arguments of Redis commands as msgpack, which scripts unpack with `cmsgpack`. Pure."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np

from contracts.messages import Ints

pack: Final = msgspec.msgpack.Encoder().encode

_NUMBER: Final = np.dtype([("type", np.uint8), ("value", ">u4")])
"""msgpack's uint 32."""
_UINT32: Final = 0xCE
NUMBER_LIMIT: Final = 1 << 32
"""Numbers below it fit into these. Lua has doubles, so none from 2^53 on could be allowed."""

# msgpack's lists: up to how many elements, and the size of the header.
_HEADERS: Final = ((1 << 4, 1), (1 << 16, 3), (1 << 32, 5))


def packed(arguments: Sequence[Any]) -> bytes:
    """Return arguments one after the other, without a list around them.

    >>> packed(["off", "7"]).hex(" ")
    'a3 6f 66 66 a1 37'
    """
    header = next(size for limit, size in _HEADERS if len(arguments) < limit)
    return pack(arguments)[header:]


def packed_pairs(fields: Ints, values: Ints, starts: Ints) -> list[bytes]:
    """Return the fields and values of each of m hashes as `packed` could, but faster.

    Redis stores them in decimal, as it would store their text.

    Args:
        fields: (n,) in `range(NUMBER_LIMIT)`, those of one hash after the other.
        values: (n,) in `range(NUMBER_LIMIT)`.
        starts: (m,) where those of each hash begin.

    >>> [stream.hex() for stream in packed_pairs(np.array([4]), np.array([1]), np.array([0, 1]))]
    ['ce00000004ce00000001', '']
    """
    pairs = np.empty((len(fields), 2), _NUMBER)
    pairs["type"] = _UINT32
    pairs["value"][:, 0], pairs["value"][:, 1] = fields, values
    return _cut(pairs.tobytes(), 2 * _NUMBER.itemsize * starts)


def packed_texts(texts: Sequence[str], starts: Ints) -> list[bytes]:
    """Return the arguments of each of m commands, as `packed` does.

    Args:
        texts: (n,) numbers, those of one command after the other: msgpack has one byte more for
            each ASCII string of less than 32 characters.
        starts: (m,) where those of each command begin.

    >>> [stream.hex(" ") for stream in packed_texts(["4", "0.5", "5", "1"], np.array([0, 2]))]
    ['a1 34 a3 30 2e 35', 'a1 35 a1 31']
    """
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
    return _cut(packed(texts), np.append(0, ends)[starts])


def _cut(stream: bytes, starts: Ints) -> list[bytes]:
    bounds = [*starts.tolist(), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds)]
