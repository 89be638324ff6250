"""Pipelines many commands to a store on one connection of its own.

redis-py's pipelines take 20 us a command of thirty arguments, most of all that loading would cost;
hiredis, which packs and parses for redis-py as well, takes 5.
"""

import socket
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

import hiredis

Command = tuple[str | bytes | int, ...]

# Its stub knows commands of one word only.
_pack: Final[Callable[[Command], bytes]] = hiredis.pack_command  # type: ignore[assignment]

_COMMANDS_AT_A_TIME: Final = 1_000
_BYTES_AT_A_TIME: Final = 1 << 16
_TIMEOUT_S: Final = 60


def write(address: str, commands: Iterable[Command]) -> None:
    """Write all of them to the store at a URL, in order.

    Raises:
        hiredis.ReplyError: the store refused one.
        OSError: the connection broke.
    """
    to = urlsplit(address)
    with socket.create_connection((to.hostname, to.port), _TIMEOUT_S) as connection:
        replies, outstanding, remaining = hiredis.Reader(), 0, iter(commands)
        while chunk := list(islice(remaining, _COMMANDS_AT_A_TIME)):
            connection.sendall(b"".join(map(_pack, chunk)))
            _read(connection, replies, outstanding)
            outstanding = len(chunk)
        _read(connection, replies, outstanding)


def _read(connection: socket.socket, replies: hiredis.Reader, n: int) -> None:
    """Read n replies."""
    while n:
        reply = replies.gets()
        if reply is False:
            replies.feed(_received(connection))
            continue
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        n -= 1


def _received(connection: socket.socket) -> bytes:
    received = connection.recv(_BYTES_AT_A_TIME)
    if not received:
        raise ConnectionResetError("the store closed the connection")
    return received
