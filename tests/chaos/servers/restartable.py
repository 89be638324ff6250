"""A server process that may be killed at any moment and restarted on its data."""

import contextlib
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

from infra.local.process import LOOPBACK, Server, await_ready, ended, start, stop


class Restartable:
    """A server process, and the ways in which it may fail."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.address = server.address
        self.port = int(re.findall(r":(\d+)", server.address)[-1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start on what the server kept; it answers a while later."""
        self._process = start(self._server.command)

    def await_ready(self) -> None:
        assert self._process is not None
        await_ready(self._server, self._process)

    def answers(self) -> bool:
        return self.runs() and self._server.answers()

    def listens(self) -> bool:
        """Whether it can be connected to, it and no other."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1):
                return True
        except OSError:
            return False

    def runs(self) -> bool:
        return self._process is not None and ended(self._process) is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it with -9 and wait for its end."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            stop((self._process, self._server.command))


@contextlib.contextmanager
def started(*servers: Any) -> Iterator[None]:
    """Run servers, of one process or more, for the block, which begins when all of them answer."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            server.start()
            stack.callback(server.stop)
        for server in servers:
            server.await_ready()
        yield
