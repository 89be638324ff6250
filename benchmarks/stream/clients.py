"""Many clients of live bars, in a process of their own.

Each has a connection of its own and listens to some instruments, chosen evenly. There is nothing of
HTTP but what it needs: what is measured is the server. It says how old each bar was when it came,
by the clock of `writer`, and whether any is missing.
"""

import asyncio
import random
import re
import time
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from typing import Final

import msgspec
import uvloop

from benchmarks.harness.child import meet
from infra.local.process import LOOPBACK

_SEED: Final = 1
_CONNECT_AT_A_TIME: Final = 50
_OPEN_WITHIN_S: Final = 50
_TRY_AGAIN_S: Final = 0.5
_QUIET_S: Final = 2.0
"""Without a bar for so long, all that will come has come."""
_GIVE_UP_S: Final = 60.0
_READ_BYTES: Final = 1 << 16
# The server sends whole events a chunk, so what frames the chunks stands between them.
_BAR: Final = re.compile(rb"event: bar\ndata: ([^\n]*)\n\n")
_LIVE: Final = b"event: live"
_OK: Final = b"HTTP/1.1 200"


@dataclass(slots=True)
class Heard:
    """What came to all clients."""

    latency_s: list[float] = field(default_factory=list)
    """of each bar, in the order in which they came"""
    first_s: float = 0.0
    last_s: float = 0.0
    """when, epoch"""
    lost: int = 0
    """states of bars that did not come"""
    disordered: int = 0
    """that came after a later state, or twice"""
    ended: int = 0
    """streams that the server ended"""
    refused: int = 0
    """of the requests for a stream: answered with 503, and sent again"""


class _Bar(msgspec.Struct):
    instrument_id: int
    c: float
    n: int


_decode: Final = msgspec.json.Decoder(_Bar).decode


class Client:
    """One client."""

    def __init__(self, heard: Heard, instruments: list[int]) -> None:
        self.last = dict.fromkeys(instruments, 0)
        """instrument -> number of the last state of its bar that came"""
        self._heard = heard

    async def connect(self, port: int) -> asyncio.StreamReader:
        """Ask for the stream until it is granted; return it when its snapshot has come."""
        asked = ",".join(map(str, self.last))
        request = f"GET /v1/stream/bars?instruments={asked} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        while True:
            # Kept here: a connection that nobody holds is closed.
            reader, self._writer = await asyncio.open_connection(LOOPBACK, port)
            self._writer.write(request.encode())
            if (await reader.readuntil(b"\r\n\r\n")).startswith(_OK):
                await reader.readuntil(_LIVE)
                return reader
            self._writer.close()
            self._heard.refused += 1
            await asyncio.sleep(_TRY_AGAIN_S)

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Note the bars that come, until the server ends the stream."""
        rest = b""
        while data := await reader.read(_READ_BYTES):
            now_s, data, end = time.time(), rest + data, 0
            for found in _BAR.finditer(data):
                self._hear(_decode(found[1]), now_s)
                end = found.end()
            rest = data[end:]
        self._heard.ended += 1

    def _hear(self, bar: _Bar, now_s: float) -> None:
        heard, before = self._heard, self.last[bar.instrument_id]
        if bar.n > before:
            heard.lost += bar.n - before - 1
            self.last[bar.instrument_id] = bar.n
        else:
            heard.disordered += 1
        heard.first_s = heard.first_s or now_s
        heard.last_s = now_s
        heard.latency_s.append(now_s - bar.c)


def listen(
    start: Barrier, port: int, clients: int, instruments: int, of_each: int, flushes: int
) -> Heard:
    """Connect all clients, and then listen until nothing comes any longer."""
    heard, rng = Heard(), random.Random(_SEED)
    chosen = [rng.sample(range(instruments), of_each) for _ in range(clients)]
    everybody = [Client(heard, its) for its in chosen]

    def is_over() -> bool:
        quiet = bool(heard.last_s) and time.time() - heard.last_s > _QUIET_S
        all_came = len(heard.latency_s) >= clients * of_each * flushes
        return all_came or (quiet and time.time() - heard.first_s > flushes)

    async def run() -> None:
        some = asyncio.Semaphore(_CONNECT_AT_A_TIME)

        async def connected(client: Client) -> asyncio.StreamReader:
            async with some, asyncio.timeout(_OPEN_WITHIN_S):
                return await client.connect(port)

        readers = await asyncio.gather(*map(connected, everybody))
        meet(start)  # nothing is to be read before
        streams = zip(everybody, readers, strict=True)
        listening = [asyncio.create_task(client.listen(reader)) for client, reader in streams]
        deadline_s = time.time() + flushes + _GIVE_UP_S
        while time.time() < deadline_s and not is_over():  # noqa: ASYNC110 (of two clocks)
            await asyncio.sleep(0.1)
        for task in listening:
            task.cancel()

    uvloop.run(run())
    heard.lost += sum(flushes - n for client in everybody for n in client.last.values())
    return heard
