"""The programs on a guarded store, each as its own user."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from infra.local.process import Server, free_port, running, start, stop
from runtime.topology import Topology
from tests.integration.conftest import WAIT_S, Pipeline
from tests.patience import answers
from tests.runtime.redis.guarded import Guarded

NAMESPACE = "live"
"""That of the documented rules."""


class Programs(Pipeline):
    """Programs, and what they say."""

    def __init__(self, broker: str, store: Guarded, topology: Topology, folder: Path) -> None:
        super().__init__(broker, store.url("admin"), NAMESPACE, topology, folder)
        self.guarded = store

    @contextlib.contextmanager
    def serving(self, url: str | None = None) -> Iterator[str]:
        """Run the API; yield its address."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        url = url or self.guarded.url("api")
        command = self.command("api", "tests.api.patient", api_port=port, redis_url=url)
        with running(Server(command, address, "api", lambda: answers(f"{address}/health/live"))):
            yield address

    @contextlib.contextmanager
    def simulating(self) -> Iterator[None]:
        """Have a small market go on."""
        few = ("--instruments", "60", "--users", "200")
        command = self.command("producer", "producers", "simulate", *few)
        process = start(command)
        try:
            yield
        finally:
            stop((process, command))

    def note_topics(self) -> None:
        """Have `operations.topics` note the partitions."""
        self.run("operations.topics", redis_url=self.guarded.url("topics"))

    def working(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a worker."""
        return self.worker(redis_url=self.guarded.url("worker"))

    def train(self) -> None:
        """Train on what there is, keeping the generation before."""
        url = self.guarded.url("trainer")
        assert "trained" in self.run("trainer", "once", redis_url=url, keep_generations=1)

    def refused(self, name: str, *arguments: str, url: str) -> str:
        """Return what a program says that ends by itself, as it cannot go on."""
        often = {"flush_interval_s": "0.2", "metrics_port": free_port()}
        process = start(self.command(name, *arguments, redis_url=url, **often))
        assert process.wait(WAIT_S) == 1, self.said(name)
        return self.said(name)

    def said(self, name: str) -> str:
        """Return the log of a program."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")
