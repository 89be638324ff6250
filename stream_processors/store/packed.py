"""Arguments of Redis commands as msgpack, which scripts unpack with `cmsgpack`. Pure."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np

from contracts.messages import Ints

pack: Final = msgspec.msgpack.Encoder().encode

NUMBER: Final = np.dtype([("type", np.uint8), ("value", ">u4")])
"""msgpack's uint 32."""
_UINT32: Final = 0xCE
NUMBER_LIMIT: Final = 1 << 32
"""Numbers below it fit into `NUMBER`. Lua has doubles, so none from 2^53 on could be allowed."""

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
    pairs = np.empty((len(fields), 2), NUMBER)
    pairs["type"] = _UINT32
    pairs["value"][:, 0], pairs["value"][:, 1] = fields, values
    stream = pairs.tobytes()
    bounds = [*(2 * NUMBER.itemsize * starts).tolist(), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds)]
