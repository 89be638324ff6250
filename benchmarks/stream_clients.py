"""Many clients of live bars, one process: `python -m benchmarks.stream_clients TASK`, see `child`.

Each has a connection of its own and listens to some instruments, chosen evenly. A protocol on plain
asyncio, with nothing of HTTP but what it needs: what is measured is the server. It says how old
each bar was when it came, by the clock of `stream_flush`, and whether any is missing.
"""

import asyncio
import random
import re
import time
from typing import Final, cast

import msgspec
import uvloop

from benchmarks.child import await_go, read_task, say

_SEED: Final = 1
_CONNECT_AT_A_TIME: Final = 50
_OPEN_WITHIN_S: Final = 50
_TRY_AGAIN_S: Final = 0.5
_QUIET_S: Final = 2.0
"""Without a bar for so long, all that will come has come."""
_GIVE_UP_S: Final = 60.0
# The server sends whole events a chunk, so what frames the chunks stands between them.
_BAR: Final = re.compile(rb"event: bar\ndata: ([^\n]*)\n\n")
_LIVE: Final = b"event: live"
_OK: Final = b"HTTP/1.1 200"


class Listening(msgspec.Struct, frozen=True):
    """Who listens to what."""

    host: str
    port: int
    clients: int
    instruments: int
    of_each: int
    """instruments that a client listens to"""
    flushes: int


class Heard(msgspec.Struct, frozen=True):
    """What came."""

    latency_s: list[float]
    """of each bar, in the order in which they came"""
    first_s: float
    last_s: float
    """when, epoch"""
    lost: int
    """states of bars that did not come"""
    disordered: int
    """that came after a later state, or twice"""
    ended: int
    """streams that the server ended"""
    refused: int
    """of the requests for a stream: answered with 503, and sent again"""


class _Bar(msgspec.Struct):
    instrument_id: int
    c: float
    n: int


_decode: Final = msgspec.json.Decoder(_Bar).decode


class Ear:
    """What all clients heard."""

    def __init__(self) -> None:
        self.latency_s: list[float] = []
        self.first_s = self.last_s = 0.0
        self.lost = self.disordered = self.ended = self.refused = 0

    def hear(self, last: dict[int, int], bar: _Bar, now_s: float) -> None:
        """Note a bar of one client, whose last ones are `last`, by instrument."""
        before = last[bar.instrument_id]
        if bar.n > before:
            self.lost += bar.n - before - 1
            last[bar.instrument_id] = bar.n
        else:
            self.disordered += 1
        self.first_s = self.first_s or now_s
        self.last_s = now_s
        self.latency_s.append(now_s - bar.c)


class Client(asyncio.Protocol):
    """One client."""

    def __init__(self, ear: Ear, instruments: list[int]) -> None:
        self.last = dict.fromkeys(instruments, 0)
        self.live: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._ear = ear
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        asked = ",".join(map(str, self.last))
        request = f"GET /v1/stream/bars?instruments={asked} HTTP/1.1\r\nHost: bench\r\n\r\n"
        cast("asyncio.Transport", transport).write(request.encode())

    def data_received(self, data: bytes) -> None:
        """Take the bars that are complete."""
        now_s, data = time.time(), self._rest + data
        if not self.live.done():
            self._begin(data)
        end = 0
        for found in _BAR.finditer(data):
            self._ear.hear(self.last, _decode(found[1]), now_s)
            end = found.end()
        self._rest = data[end:][-(1 << 16) :]

    def connection_lost(self, _exc: Exception | None) -> None:
        """Note that the server ended the stream."""
        if self.live.done() and self.live.result():
            self._ear.ended += 1

    def _begin(self, data: bytes) -> None:
        """Note that the snapshot is there, or that the server refuses the stream."""
        if not data.startswith(_OK[: len(data)]):
            self.live.set_result(False)
        elif _LIVE in data:
            self.live.set_result(True)


async def run(task: Listening) -> Heard:
    """Connect all clients, and at the sign listen until nothing comes any longer."""
    ear = Ear()
    clients = await _connected(ear, task)
    await_go()  # the sign reaches the main thread only; nothing is to be read until it comes
    deadline_s = time.time() + task.flushes + _GIVE_UP_S
    while time.time() < deadline_s and not _is_over(ear, task):  # noqa: ASYNC110 (of two clocks)
        await asyncio.sleep(0.1)
    behind = sum(task.flushes - n for client in clients for n in client.last.values())
    return Heard(
        latency_s=ear.latency_s,
        first_s=ear.first_s,
        last_s=ear.last_s,
        lost=ear.lost + behind,
        disordered=ear.disordered,
        ended=ear.ended,
        refused=ear.refused,
    )


async def _connected(ear: Ear, task: Listening) -> list[Client]:
    """Return the clients, each of which has its snapshot: empty, as there are no bars yet."""
    loop, rng = asyncio.get_running_loop(), random.Random(_SEED)
    some = asyncio.Semaphore(_CONNECT_AT_A_TIME)

    async def connect() -> Client:
        instruments = rng.sample(range(task.instruments), task.of_each)
        async with some, asyncio.timeout(_OPEN_WITHIN_S):
            while True:
                transport, client = await loop.create_connection(
                    lambda: Client(ear, instruments), task.host, task.port
                )
                if await client.live:
                    return client
                transport.close()
                ear.refused += 1
                await asyncio.sleep(_TRY_AGAIN_S)

    return await asyncio.gather(*(connect() for _ in range(task.clients)))


def _is_over(ear: Ear, task: Listening) -> bool:
    whole = task.clients * task.of_each * task.flushes
    quiet = bool(ear.last_s) and time.time() - ear.last_s > _QUIET_S
    return len(ear.latency_s) >= whole or (quiet and time.time() - ear.first_s > task.flushes)


def main() -> None:
    """Connect, begin at the sign, say what came."""
    say(uvloop.run(run(read_task(Listening))))


if __name__ == "__main__":
    main()
