"""A worker of a run, behind proxies of its own, started again when it ends."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import httpx

from infra.local.process import LOOPBACK, Command, ended, free_port, start
from tests.chaos.clock import Clock
from tests.chaos.proxy import Link

_RESTART_AFTER_S: Final = 0.5


class Worker:
    """A place for a worker: at most one process at a time."""

    def __init__(
        self,
        number: int,
        folder: Path,
        environment: Mapping[str, str],
        to_store: Link,
        to_broker: Link | None,
        clock: Clock,
    ) -> None:
        self.name = f"worker-{number}"
        self.to_store = to_store
        self.to_broker = to_broker
        self.clock = clock
        self.is_wanted = False
        self.restarts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._ended_s = 0.0
        self._metrics_port = free_port()
        first_node = to_store.addresses[number % len(to_store.addresses)]
        self._command = Command(
            name=self.name,
            argv=clock.worker(),
            log=folder / f"{self.name}.log",
            environment={
                **environment,
                "REDIS_URL": f"redis://{first_node}/0",
                "METRICS_PORT": str(self._metrics_port),
            },
        )

    def start(self) -> None:
        self.is_wanted = True
        self.process = start(self._command)

    def runs(self) -> bool:
        return self.process is not None and ended(self.process) is None

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        self.is_wanted = False
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def supervise(self, say: Callable[[str], None]) -> None:
        """Start the process again, a moment after it ended."""
        if self.process is None or not self.is_wanted or self.runs():
            self._ended_s = 0.0
            return
        if not self._ended_s:
            self._ended_s = time.monotonic()
            say(f"{self.name} ended with {self.process.returncode}")
        elif time.monotonic() - self._ended_s > _RESTART_AFTER_S:
            self._ended_s = 0.0
            self.restarts += 1
            self.start()

    def health(self) -> str:
        try:
            return httpx.get(f"http://{LOOPBACK}:{self._metrics_port}/health", timeout=3).text
        except httpx.TransportError as error:
            return repr(error)
