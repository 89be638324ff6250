"""Several workers of ours that share the partitions, and what they come to together."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from benchmarks.cpu import Clock, read_clock, spent
from benchmarks.stage import ContenderError, Stage
from contracts.topics import QUOTES, STREAMED
from infra.local.metrics import Samples, scrape
from infra.local.process import LOOPBACK, Command, ended, free_port, start, stop
from runtime.topology import Topology

OURS: Final = "stream_processors"
_SHARED_WITHIN_S: Final = 60
_STILL_AT_MOST_S: Final = 9
"""below the workers' session timeout of 10 s"""
_LOOK_EVERY_S: Final = 0.02
_ASSIGNED: Final = "partitions_assigned"


@dataclass(frozen=True, slots=True)
class Crew:
    """Workers that run."""

    processes: Mapping[str, tuple[subprocess.Popen[bytes], Command]]
    urls: list[str]

    @property
    def pids(self) -> dict[str, int]:
        """The workers' processes, by their names."""
        return {name: process.pid for name, (process, _) in self.processes.items()}

    def await_shared(self, topology: Topology) -> None:
        """Return once every partition is claimed, and every worker has some.

        Raises:
            ContenderError: a worker ended, or the group took too long.
        """
        deadline = time.monotonic() + _SHARED_WITHIN_S
        with httpx.Client(timeout=1) as client:
            while not shared(scrape(self.urls, client), topology, len(self.urls)):
                self.check()
                if time.monotonic() > deadline:
                    raise ContenderError(
                        f"the workers did not share the partitions within {_SHARED_WITHIN_S} s: "
                        f"see {', '.join(str(c.log) for _, c in self.processes.values())}"
                    )
                time.sleep(_LOOK_EVERY_S)

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Keep the workers from doing anything during the block, without their group's notice.

        Raises:
            ContenderError: it took longer than the group lets a member be silent.
        """
        began = time.monotonic()
        try:
            self._signal(signal.SIGSTOP)
            yield
            stood_s = time.monotonic() - began
        finally:
            self._signal(signal.SIGCONT)
        if stood_s > _STILL_AT_MOST_S:
            raise ContenderError(
                f"publishing took {stood_s:.1f} s, but workers that stand still for more than "
                f"{_STILL_AT_MOST_S} s lose their partitions: publish fewer with --quotes"
            )

    def check(self) -> None:
        """Check that all of them run.

        Raises:
            ContenderError: one does not.
        """
        for name, (process, command) in self.processes.items():
            code = ended(process)
            if code is not None:
                raise ContenderError(f"{name} ended with exit code {code}: see {command.log}")

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids.values():
            os.kill(pid, number)


def shared(workers: list[Samples], topology: Topology, n: int) -> bool:
    """Tell whether each of n workers has partitions of quotes, and each partition a worker."""
    return (
        len(workers) == n
        and all(samples.get((_ASSIGNED, QUOTES.name), 0) for samples in workers)
        and all(
            sum(samples.get((_ASSIGNED, topic.name), 0) for samples in workers)
            == getattr(topology, topic.name)
            for topic in STREAMED
        )
    )


@contextlib.contextmanager
def crew(stage: Stage, namespace: str, workers: int) -> Iterator[Crew]:
    """Run so many workers for the block."""
    processes: dict[str, tuple[subprocess.Popen[bytes], Command]] = {}
    ports = [free_port() for _ in range(workers)]
    try:
        for number, port in enumerate(ports, start=1):
            name = f"worker-{number}"
            command = serving(stage, namespace, OURS, name, {"METRICS_PORT": str(port)})
            processes[name] = (start(command), command)
        yield Crew(processes, [f"http://{LOOPBACK}:{port}" for port in ports])
    finally:
        stop(*processes.values())


def serving(
    stage: Stage, namespace: str, module: str, name: str, settings: Mapping[str, str]
) -> Command:
    """Return how to run `python -m module` as one of several, with settings of its own."""
    command = stage.command(module, namespace, (sys.executable, "-m", module))
    return dataclasses.replace(
        command,
        name=name,
        log=stage.folder / f"{name}.{namespace}.log",
        environment={**command.environment, **settings},
    )


def read_all(stage: Stage, pids: Mapping[str, int]) -> Clock:
    """Return the CPU seconds so far of some processes and of the servers."""
    return read_clock({**pids, **stage.pids})


def spent_together(before: Clock, after: Clock) -> dict[str, float]:
    """Return the CPU seconds between two readings, with those of all workers as one.

    >>> before = Clock({"worker-1": 0.0, "worker-2": 0.0, "store": 1.0}, 0.0)
    >>> spent_together(before, Clock({"worker-1": 1.0, "worker-2": 2.0, "store": 1.5}, 5.0))
    {'worker': 3.0, 'store': 0.5, 'others': 1.5}
    """
    each = spent(before, after)
    workers = [each.pop(name) for name in list(each) if name.startswith("worker-")]
    return {"worker": sum(workers), **each}
