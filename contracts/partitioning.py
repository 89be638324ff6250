"""Which partition a key belongs to: murmur2, as Kafka's Java client chooses by default.

Readers need it too, since a partition's number is part of the Redis keys (`contracts.keyspace`).
librdkafka hashes with CRC32 unless told `partitioner=murmur2`, see `LIBRDKAFKA_PARTITIONER`.
"""

from typing import Final

LIBRDKAFKA_PARTITIONER: Final = "murmur2"
"""librdkafka's name for this function, for its setting `partitioner`."""

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


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
    """Return the partition, `0 <= p < partitions`, that Kafka's default partitioner gives `key`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def instrument_partition(instrument_id: int, partitions: int) -> int:
    """Return the partition of an instrument, whose key is its id in ASCII decimal."""
    return partition_of(b"%d" % instrument_id, partitions)


def user_partition(user_id: str, partitions: int) -> int:
    """Return the partition of a user, whose key is the id in UTF-8."""
    return partition_of(user_id.encode(), partitions)
