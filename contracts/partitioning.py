"""Maps keys to partitions by murmur2, the default of Kafka's Java client, and pairs to rows of G.

Readers need it too, since a partition's number is part of the Redis keys (`contracts.keyspace`).
librdkafka uses CRC32 unless configured with `partitioner=murmur2`, see `LIBRDKAFKA_PARTITIONER`.

G, the Gram matrix, is symmetric: a pair of items stands in one row, for both. The diagonal, a pair
of an item with itself, stands in the item's own row. Of any other items, those of an item divide
about evenly between its row and theirs, as the sum of two ids is even or odd. So no row has all of
an item's pairs, and no item loses all of its pairs with one row.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints

LIBRDKAFKA_PARTITIONER: Final = "murmur2"
"""librdkafka's name for this function, for its setting `partitioner`."""

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_DIGITS: Final = 20
"""The longest id has 19; rounded up to a multiple of murmur2's blocks of 4."""
_KNOWN: Final = 1 << 16
"""Partitions kept in memory, of instruments and of users: 10 MB each. Hashing takes Python 2 us, a
twentieth of a hot request."""


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of `data` with Kafka's seed, as an unsigned number.

    Source: Austin Appleby's MurmurHash2, and `org.apache.kafka.common.utils.Utils.murmur2`.

    >>> hex(murmur2(b"21"))
    '0xc5f2f8ec'
    """
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length & 3:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition, `0 <= p < partitions`, that Kafka's default partitioner assigns."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


@lru_cache(_KNOWN)
def instrument_partition(instrument_id: int, partitions: int) -> int:
    """Return the partition of an instrument, whose key is its id in ASCII decimal."""
    return partition_of(b"%d" % instrument_id, partitions)


def instrument_partitions(instrument_id: Ints, partitions: int) -> Ints:
    """Return the partition of each instrument, (n,), as `instrument_partition`.

    >>> instrument_partitions(np.array([7, 21]), 8).tolist()
    [3, 4]
    """
    keys = instrument_id.astype(f"S{_DIGITS}")  # padded with zeros
    length = np.strings.str_len(keys).astype(np.uint32)
    blocks = keys.view("<u4").reshape(len(keys), _DIGITS // 4)
    h: npt.NDArray[np.uint32] = np.uint32(_SEED) ^ length
    for place, block in enumerate(blocks.T):
        k = block * np.uint32(_M)
        mixed = h * np.uint32(_M) ^ (k ^ (k >> 24)) * np.uint32(_M)
        h = np.where(length >= 4 * (place + 1), mixed, h)
    rest = blocks[np.arange(len(keys)), length >> 2]
    h = np.where(length & 3 > 0, (h ^ rest) * np.uint32(_M), h)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(_M)
    h ^= h >> np.uint32(15)
    return (h & np.uint32(0x7FFFFFFF)).astype(np.int64) % partitions


@lru_cache(_KNOWN)
def user_partition(user_id: str, partitions: int) -> int:
    """Return the partition of a user, whose key is the id in UTF-8."""
    return partition_of(user_id.encode(), partitions)


def row_of(i: int, j: int) -> int:
    """Return the item whose row has a pair: the lesser one if their sum is even, else the greater.

    >>> row_of(4, 8), row_of(8, 4), row_of(4, 9), row_of(4, 4)
    (4, 4, 9, 4)
    """
    return min(i, j) if (i + j) % 2 == 0 else max(i, j)


def are_in_row(i: Ints, j: Ints) -> npt.NDArray[np.bool_]:
    """Return whether the row of i has the pair, (n,) each, as `row_of`.

    >>> are_in_row(np.array([4, 8, 4, 9]), np.array([8, 4, 9, 4])).tolist()
    [True, False, False, True]
    """
    # The last bit says whether the sum is even, which may itself be beyond 64 bits.
    are_in: npt.NDArray[np.bool_] = ((i ^ j) & 1 == 0) == (i <= j)
    return are_in
