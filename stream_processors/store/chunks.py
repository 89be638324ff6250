"""Redis commands on the keys of one partition, in chunks that take Redis about a millisecond.

A chunk is one script call, which gets the commands as one msgpack string: as separate arguments,
each would be packed by the worker and parsed by Redis. Measured for a bar, separate arguments cost
2.9 us of the worker's CPU and 2.8 us of Redis's; msgpack costs 0.6 and 1.9. Redis's Lua decoder
supports neither msgpack's binary type nor 64-bit integers, so all arguments are text. What sets
many fields of a hash is packed separately (`stream_processors.store.chunks`). Keys are declared, as
a cluster that moves a slot must know them all (`stream_processors.store.scripts`).
"""

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, NamedTuple

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


Commands = list[str | int]
"""Any number of commands, each as `command` returns it."""

ON_KEY: Final = 1
ON_INDEX: Final = 0


class Group(NamedTuple):
    """Commands that belong together, on one key and the partition's index: applied atomically."""

    key: str
    commands: Sequence[str | int]
    """as `Commands`"""
    published: Sequence[Any] = ()
    """what to publish on the channel of `Unwritten`"""
    fields: bytes = b""
    """fields and values of a hash on the key, as `packed` returns them, set after the commands"""
    n: int = 0
    """the number of these fields and values"""


Groups = Iterable[Group] | AsyncIterable[Iterable[Group]]
"""All at once or, if there are many, some at a time: then some are written before others are
created."""


class Channel(NamedTuple):
    """Where the groups' `published` rows go, and how those of a chunk become one message."""

    name: str
    encode: Callable[[Sequence[Any]], bytes]


class Unwritten(NamedTuple):
    """What is in memory and not yet in Redis."""

    groups: Groups = ()
    """in any order: one chunk is sent while the one before it is written, and a failover in a flush
    may lose any of them and keep the others"""
    fields: Mapping[str, str] = MappingProxyType({})
    """of the position, written with it: the fold's own ones"""
    channel: Channel | None = None


class Chunk(NamedTuple):
    """The content of one script call."""

    keys: list[str]
    commands: Commands
    published: list[Any]
    fields: list[bytes]
    """of each key"""


async def each_part(groups: Groups) -> AsyncIterator[Iterable[Group]]:
    """Yield some groups at a time."""
    if isinstance(groups, AsyncIterable):
        async for some in groups:
            yield some
    else:
        yield groups


def command(name: str, arguments: Sequence[str], on: int = ON_KEY) -> Commands:
    """Return one command, with its target key and the number of its arguments before them.

    >>> command("HSET", ["newest", "60"])
    ['HSET', 1, 2, 'newest', '60']
    """
    return [name, on, len(arguments), *arguments]


def chunks(groups: Iterable[Group], cost: int) -> Iterator[Chunk]:
    """Join groups into chunks of at most `cost` entries; a larger group is a chunk by itself.

    A group is never split. The commands of each are preceded by their number, so that the script
    knows where the next key begins.
    """
    keys: list[str] = []
    commands: Commands = []
    published: list[Any] = []
    fields: list[bytes] = []
    size = 0
    for key, its_commands, its_published, its_fields, n in groups:
        its_size = 1 + len(its_commands) + n
        if keys and size + its_size > cost:
            yield Chunk(keys, commands, published, fields)
            keys, commands, published, fields, size = [], [], [], [], 0
        size += its_size
        keys.append(key)
        commands.append(len(its_commands))
        commands += its_commands
        published += its_published
        fields.append(its_fields)
    if keys:
        yield Chunk(keys, commands, published, fields)
