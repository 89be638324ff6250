"""Sends requests to a local server at random moments, or as fast as it answers on some connections.

Latencies run from the moment at which a request was due, so waiting behind a slow answer counts,
and all of them are kept. `select` waits to the microsecond, while event loops round to a
millisecond, in which 25 requests would be sent at once.
"""

import contextlib
import gc
import re
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.harness.contender import ContenderError
from contracts.messages import Floats
from infra.local.process import LOOPBACK

_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_END_OF_HEAD: Final = b"\r\n\r\n"
_READ_BYTES: Final = 1 << 16
_END_WITHIN_S: Final = 30.0
_SUCCESS: Final = b"2"
_STATUS: Final = slice(9, 10)


@dataclass(frozen=True, slots=True)
class Offered:
    """What came of requests."""

    seconds: float
    latency_s: Floats
    """of each that was answered with success, (n,), in the order of answers"""
    failed: int
    """answered otherwise"""
    own_cpu_s: float
    """of this process"""

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.latency_s) / self.seconds

    def quantile(self, share: float) -> float:
        """Return the latency that such a share of all did not exceed, s."""
        return float(np.quantile(self.latency_s, share, method="inverted_cdf"))


class _Connection:
    """Has one request under way at a time."""

    def __init__(self, port: int) -> None:
        self.due_s = 0.0
        self._socket = socket.create_connection((LOOPBACK, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def fileno(self) -> int:
        """Return what `select` asks for."""
        return self._socket.fileno()

    def ask(self, request: bytes, due_s: float) -> None:
        self.due_s = due_s
        self._socket.sendall(request)

    def read(self) -> bytes | None:
        """Return an answer once it is whole."""
        received = self._socket.recv(_READ_BYTES)
        if not received:
            raise ContenderError("the server closed a connection that it was asked on")
        data = self._data + received
        head, end, body = data.partition(_END_OF_HEAD)
        length = _LENGTH.search(head)
        if end and length and len(body) >= int(length[1]):
            self._data = b""
            return data
        self._data = data
        return None

    def close(self) -> None:
        self._socket.close()


def offer(
    port: int,
    requests: Sequence[bytes],
    seconds: float,
    connections: int,
    *,
    per_s: float | None = None,
    seed: int = 1,
) -> Offered:
    """Ask for so many seconds, for requests in turn.

    Args:
        port: of a server of this machine.
        requests: whole ones, as they are sent.
        seconds: for which requests fall due.
        connections: that ask at a time; what falls due when none is free waits for one.
        per_s: requests that fall due a second, a Poisson process; None: the next one on a
            connection is due when the one before it is answered.
        seed: of the moments.

    Raises:
        ContenderError: it closed a connection, or did not answer within some seconds.
    """
    with _opened(port, connections) as opened, _without_collector():
        return _Asking(opened, requests, seconds, per_s, seed).run()


class _Asking:
    def __init__(
        self,
        opened: Sequence[_Connection],
        requests: Sequence[bytes],
        seconds: float,
        per_s: float | None,
        seed: int,
    ) -> None:
        self._free = deque(opened)
        self._busy: dict[_Connection, None] = {}
        self._requests = requests
        self._seconds = seconds
        self._due = iter(_moments(seconds, per_s, seed)) if per_s else None
        self._next_s = next(self._due, None) if self._due else 0.0
        self._asked = 0
        self._failed = 0
        self._latency_s: list[float] = []

    def run(self) -> Offered:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        deadline_s = self._seconds + _END_WITHIN_S
        while True:
            now_s = time.perf_counter() - began_s
            if now_s > deadline_s:
                raise ContenderError(
                    f"{len(self._busy)} requests had no answer {_END_WITHIN_S:g} s after the last: "
                    "is the machine busy?"
                )
            wait_s = self._ask(now_s)
            if wait_s is None and not self._busy:
                break
            ready, _, _ = select.select(list(self._busy), (), (), wait_s)
            for connection in ready:
                self._take(connection, began_s)
        own_cpu_s = time.process_time() - began_cpu_s
        latency_s = np.array(self._latency_s)
        return Offered(self._seconds, latency_s, self._failed, own_cpu_s)

    def _ask(self, now_s: float) -> float | None:
        """Send what is due; return how long it is until the next one is, None if none is."""
        while self._free and self._next_s is not None and self._next_s <= now_s:
            if self._due is None and now_s >= self._seconds:
                self._next_s = None
                break
            connection = self._free.popleft()
            self._busy[connection] = None
            due_s = now_s if self._due is None else self._next_s
            connection.ask(self._requests[self._asked % len(self._requests)], due_s)
            self._asked += 1
            if self._due is not None:
                self._next_s = next(self._due, None)
        if self._next_s is None:
            return None if not self._busy else _END_WITHIN_S
        return max(0.0, self._next_s - now_s) if self._free and self._due else _END_WITHIN_S

    def _take(self, connection: _Connection, began_s: float) -> None:
        answer = connection.read()
        if answer is None:
            return
        del self._busy[connection]
        self._free.append(connection)
        if answer[_STATUS] == _SUCCESS:
            self._latency_s.append(time.perf_counter() - began_s - connection.due_s)
        else:
            self._failed += 1


def _moments(seconds: float, per_s: float, seed: int) -> list[float]:
    """Return when requests fall due, in order."""
    rng = np.random.default_rng(seed)
    n = rng.poisson(per_s * seconds)
    moments: list[float] = np.sort(rng.uniform(0, seconds, n)).tolist()
    return moments


def get(path: str) -> bytes:
    """Return a request for a path."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """Return a request that posts JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextlib.contextmanager
def _opened(port: int, connections: int) -> Iterator[list[_Connection]]:
    opened = [_Connection(port) for _ in range(connections)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """A pause of this process is none of the server's."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
