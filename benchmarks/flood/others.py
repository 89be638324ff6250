"""The others: readers and a writer that keep to a schedule, in a process of their own."""

import asyncio
import gc
import itertools
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from multiprocessing.synchronize import Barrier
from typing import Final, Literal

import msgspec
import uvloop

from benchmarks.harness.asking import Answer, Connection, connected
from benchmarks.harness.child import meet
from benchmarks.reads.data import user_id

Kind = Literal["reads", "newcomers", "writes"]

RATES: Final[dict[Kind, int]] = {"reads": 500, "newcomers": 20, "writes": 25}
"""requests a second"""
_CONNECTIONS: Final[dict[Kind, int]] = {"reads": 32, "newcomers": 0, "writes": 8}
"""that stay open; a newcomer has one of its own, and closes it"""
_END_WITHIN_S: Final = 5.0
"""after the last request was due: what is not answered then counts as lost"""

_encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Heard:
    """What came of the requests of one kind."""

    latency_s: list[float] = field(default_factory=list)
    """from the moment at which each was due to its whole answer"""
    late_s: list[float] = field(default_factory=list)
    """how long after that moment this process got to it"""
    refused: int = 0
    """answered with another status than 2xx"""
    lost: int = 0
    """not answered at all"""


class _Asking:
    """Sends the requests of one kind when they are due, on the first connection that is free."""

    def __init__(self, kind: Kind, port: int, requests: Iterator[bytes]) -> None:
        self.heard = Heard()
        self._kind: Kind = kind
        self._port = port
        self._requests = requests
        self._free: deque[Connection] = deque()
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._connecting: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Open the connections that stay open."""
        for _ in range(_CONNECTIONS[self._kind]):
            self._free.append(await connected(self._port, self._take))

    async def run(self, began_s: float, seconds: int) -> None:
        """Ask for so long."""
        rate = RATES[self._kind]
        for number in range(rate * seconds):
            due_s = began_s + number / rate
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self.heard.late_s.append(time.monotonic() - due_s)
            self._ask(next(self._requests), due_s)
        deadline_s = time.monotonic() + _END_WITHIN_S
        total = rate * seconds
        while len(self.heard.latency_s) < total and time.monotonic() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self.heard.lost = total - len(self.heard.latency_s)

    def _ask(self, request: bytes, due_s: float) -> None:
        if not _CONNECTIONS[self._kind]:
            task = asyncio.create_task(self._come(request, due_s))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        elif self._free:
            self._free.popleft().ask(request, due_s)
        else:
            self._waiting.append((request, due_s))

    async def _come(self, request: bytes, due_s: float) -> None:
        """Ask on a connection of its own."""
        connection = await connected(self._port, self._take)
        connection.ask(request, due_s)

    def _take(self, connection: Connection, answer: Answer) -> None:
        self.heard.latency_s.append(time.monotonic() - connection.due_s)
        self.heard.refused += answer.status >= HTTPStatus.BAD_REQUEST
        if not _CONNECTIONS[self._kind]:
            connection.transport.close()
        elif self._waiting:
            connection.ask(*self._waiting.popleft())
        else:
            self._free.append(connection)


def ask(start: Barrier, port: int, seconds: int, instruments: int, users: int) -> dict[Kind, Heard]:
    """Connect, meet the others, and ask for so long."""

    async def run() -> dict[Kind, Heard]:
        requests: dict[Kind, Iterator[bytes]] = {
            "reads": _reads(instruments, users),
            "newcomers": _reads(instruments, users),
            "writes": _writes(instruments),
        }
        everybody = {kind: _Asking(kind, port, its) for kind, its in requests.items()}
        for asking in everybody.values():
            await asking.connect()
        meet(start)
        began_s = time.monotonic()
        await asyncio.gather(*(asking.run(began_s, seconds) for asking in everybody.values()))
        return {kind: asking.heard for kind, asking in everybody.items()}

    gc.disable()  # a pause of this process is none of the server's
    return uvloop.run(run())


def _reads(instruments: int, users: int) -> Iterator[bytes]:
    """Return reads of each hot kind in turn."""
    for number in itertools.count():
        instrument, user = number % instruments, user_id(number % users)
        for path in (
            f"/v1/instruments/{instrument}/bars",
            f"/v1/instruments/{instrument}/similar",
            f"/v1/users/{user}/recommendations",
        ):
            yield f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def _writes(instruments: int) -> Iterator[bytes]:
    """Return events, a quote each."""
    for number in itertools.count():
        event = {
            "type": "quote",
            "instrument_id": number % instruments,
            "price": 10.5,
            "ts": time.time_ns() // 1_000_000,
        }
        body = _encode(event)
        head = (
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body
