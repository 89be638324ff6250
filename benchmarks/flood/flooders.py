"""The flood: many abusive clients in a process of their own."""

import asyncio
import contextlib
import enum
import socket
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.synchronize import Barrier
from typing import Final, cast

import uvloop

from benchmarks.harness.child import meet
from infra.local.process import LOOPBACK

_ADDRESS: Final = "X-Forwarded-For: 203.0.113.9\r\n"
"""where the flood says that it comes from: one of RFC 5737's, for documentation"""
_CONNECT_AT_A_TIME: Final = 100
_SMALL_BUFFER_BYTES: Final = 4096
_BAR_INSTRUMENTS: Final = 100
"""as many as one answer may be about"""
_UNREAD_ANSWERS: Final = 30
"""that a client asks for at once, 80 kB each"""
_PARTS: Final = 50
"""of an interval, in which a part of the clients each send their drops"""


class Flood(enum.StrEnum):
    """A way to flood."""

    HEADS = "heads"
    BODIES = "bodies"
    STREAMS = "streams"
    UNREAD = "unread"


@dataclass(slots=True)
class Flooded:
    """What came of a flood."""

    connections: int = 0
    """that were opened"""
    open_most: int = 0
    """at a time"""
    refused: int = 0
    """answers with a status of 4xx or 5xx"""


@dataclass(frozen=True, slots=True)
class _Way:
    """How one client of a flood behaves."""

    clients: int
    first: bytes
    """what it sends at once"""
    drop: bytes = b""
    """what it sends again and again"""
    drop_every_s: float = 1.0
    asks_again: bool = False
    """whether it sends `first` again on its connection when it is refused"""
    reads: bool = True


def _ways() -> dict[Flood, _Way]:
    host = f"HTTP/1.1\r\nHost: localhost\r\n{_ADDRESS}"
    ids = ",".join(map(str, range(_BAR_INSTRUMENTS)))
    large = f"GET /v1/bars?instruments={ids} {host}\r\n"
    body = "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    return {
        Flood.HEADS: _Way(2_000, f"GET /v1/instruments/1/bars {host}X-Long: ".encode(), b"x", 0.5),
        Flood.BODIES: _Way(500, f"POST /v1/events {host}{body}[".encode(), b" ", 0.1),
        Flood.STREAMS: _Way(
            300, f"GET /v1/stream/bars?instruments=1,2 {host}\r\n".encode(), asks_again=True
        ),
        Flood.UNREAD: _Way(300, (large * _UNREAD_ANSWERS).encode(), reads=False),
    }


class _Client(asyncio.Protocol):
    """One connection of a flood."""

    def __init__(self, way: _Way, flooded: Flooded, clients: set["_Client"]) -> None:
        self._way = way
        self._flooded = flooded
        self._clients = clients
        self._transport: asyncio.Transport
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._clients.add(self)
        self._flooded.connections += 1
        self._flooded.open_most = max(self._flooded.open_most, len(self._clients))
        if not self._way.reads:  # uvloop begins to read after this
            asyncio.get_running_loop().call_soon(self._transport.pause_reading)
        self._transport.write(self._way.first)

    def drop(self) -> None:
        """Send a little more."""
        self._transport.write(self._way.drop)

    def data_received(self, data: bytes) -> None:
        if not data.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")):
            return
        self._flooded.refused += 1
        if self._way.asks_again:
            self._transport.write(self._way.first)
        else:
            self._transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._clients.discard(self)
        if not self.gone.done():  # at the end of the flood it is cancelled
            self.gone.set_result(None)


def flood(start: Barrier, kind: Flood, port: int, seconds: int) -> Flooded:
    """Meet the others, and flood for so long."""
    flooded, way = Flooded(), _ways()[kind]
    clients: set[_Client] = set()

    async def run() -> None:
        connecting = asyncio.Semaphore(_CONNECT_AT_A_TIME)

        async def be_there() -> None:
            while True:
                async with connecting:
                    client = await _connected(way, port, lambda: _Client(way, flooded, clients))
                await client.gone

        meet(start)
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            for _ in range(way.clients):
                tasks.create_task(be_there())
            if way.drop:
                tasks.create_task(_drip(way, clients))

    with contextlib.suppress(TimeoutError):
        uvloop.run(run())
    return flooded


async def _connected(way: _Way, port: int, make: Callable[[], _Client]) -> _Client:
    loop = asyncio.get_running_loop()
    while True:
        own = socket.socket()
        own.setblocking(False)  # noqa: FBT003 (its only parameter)
        if not way.reads:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        try:
            await loop.sock_connect(own, (LOOPBACK, port))
            _, client = await loop.create_connection(make, sock=own)
        except OSError:
            own.close()
        else:
            return client


async def _drip(way: _Way, clients: set[_Client]) -> None:
    """Let each client send its drop at its own moment of the interval."""
    for part in cycle(range(_PARTS)):
        await asyncio.sleep(way.drop_every_s / _PARTS)
        for client in [*clients][part::_PARTS]:
            client.drop()
