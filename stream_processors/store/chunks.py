"""Redis commands on the keys of one partition, in chunks that Redis works on for a millisecond.

A chunk is one call of a script, which gets the commands as one msgpack string: as arguments of
their own, each would be packed by the worker and parsed by Redis. Measured for a bar, 2.9 us of the
worker's CPU and 2.8 us of Redis's that way, 0.6 and 1.9 as msgpack. The decoder of Lua knows
neither msgpack's binary type nor integers of 64 bits, so all arguments are text. Keys are declared,
as a cluster that moves a slot must know them all (`stream_processors.store.scripts`).
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

Commands = list[str | int]
"""Any number of commands, each as `command` returns it."""

pack: Final = msgspec.msgpack.Encoder().encode
"""`Commands` to the string that a script gets."""

ON_KEY: Final = 1
ON_INDEX: Final = 0


class Group(NamedTuple):
    """Commands that belong together, on one key and the partition's index: all are done or none."""

    key: str
    commands: Commands
    published: Sequence[Any] = ()
    """what is told to whoever listens on the write's channel"""


Groups = Iterable[Group] | AsyncIterable[Iterable[Group]]
"""All at once or, where they are many, some at a time: then some are written before others are
made."""


class Chunk(NamedTuple):
    """What one script call does."""

    keys: list[str]
    commands: Commands
    published: list[Any]


async def each_part(groups: Groups) -> AsyncIterator[Iterable[Group]]:
    """Yield some groups at a time."""
    if isinstance(groups, AsyncIterable):
        async for some in groups:
            yield some
    else:
        yield groups


def command(name: str, arguments: Sequence[str], on: int = ON_KEY) -> Commands:
    """Return one command, with where it goes and the number of its arguments before them.

    >>> command("HSET", ["newest", "60"])
    ['HSET', 1, 2, 'newest', '60']
    """
    return [name, on, len(arguments), *arguments]


def chunks(groups: Iterable[Group], cost: int) -> Iterator[Chunk]:
    """Join groups into chunks of at most `cost` entries; a greater group goes alone.

    A group is never split. Before the commands of each stands their number, so that the script
    knows where the next key begins.
    """
    chunk = Chunk([], [], [])
    for group in groups:
        if chunk.keys and len(chunk.commands) + len(group.commands) > cost:
            yield chunk
            chunk = Chunk([], [], [])
        chunk.keys.append(group.key)
        chunk.commands.append(len(group.commands))
        chunk.commands.extend(group.commands)
        chunk.published.extend(group.published)
    if chunk.keys:
        yield chunk
