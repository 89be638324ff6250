"""A store with the data of `benchmarks.train.data`, and processes that run on it to their end."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from scipy.sparse import save_npz

from benchmarks.harness.contender import ContenderError
from benchmarks.harness.usage import Watch, peak_bytes
from benchmarks.train.data import Data, fill
from contracts.generations import Current, SimilarList
from contracts.keyspace import Keyspace
from infra.local.paths import PROJECT
from infra.local.process import Command, Server, ended, free_port, running, start, stop
from infra.local.store import valkey
from runtime.redis.stores import Store, connect
from trainer.generations.report import Report

USER_ITEMS: Final = "user_items.npz"
NAMESPACE: Final = "bench-train"
_KEYS: Final = Keyspace(NAMESPACE)
_RUN_WITHIN_S: Final = 600
_LOOK_EVERY_S: Final = 0.02
_KEYS_AT_A_TIME: Final = 500


class Process(NamedTuple):
    """What a process took that ran to its end."""

    peak_bytes: int
    """the most memory that it had at once"""
    seconds: float
    busy_other_cores: float
    """how many cores others kept busy during the run"""


@dataclass(frozen=True, slots=True)
class TrainingStage:
    """A store that has the counts, and a folder that has the matrix."""

    data: Data
    store: Server
    store_pid: int
    client: Store
    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of a program on this data."""
        return {
            "PYTHONPATH": str(PROJECT),
            "REDIS_URL": self.store.address,
            "NAMESPACE": NAMESPACE,
        }

    def run(self, name: str, argv: Sequence[str], settings: Mapping[str, str]) -> Process:
        """Run a process to its end.

        Raises:
            ContenderError: it failed.
        """
        command = Command(name, tuple(argv), self.log(name), {**self.environment, **settings})
        watch, began = Watch({"store": self.store_pid}), time.perf_counter()
        process = start(command)
        try:
            peak = _peak_until_end(process, command)
        finally:
            stop((process, command))
        seconds = time.perf_counter() - began
        return Process(peak, seconds, watch.cpu_s()["others"] / seconds)

    def log(self, name: str) -> Path:
        """Return where a process's output goes."""
        return self.folder / f"{name}.log"

    def current(self) -> tuple[str, Report]:
        """Return the generation that is served, and its report."""
        current = msgspec.json.decode(str(self.client.get(_KEYS.model_current())), type=Current)
        (served,) = current.variants.values()
        report = self.client.get(_KEYS.model_report(served.generation))
        return served.generation, msgspec.json.decode(str(report), type=Report)

    def score(self, generation: str) -> float:
        """Return the sum of the scores of all neighbors."""
        items = range(self.data.gram.shape[0])
        keys = [_KEYS.model_similar(generation, str(item)) for item in items]
        lists = (
            msgspec.json.decode(str(encoded), type=SimilarList)
            for encoded in _answers(self.client, keys)
        )
        return sum(neighbor.score for one in lists for neighbor in one.items)

    def forget(self, generation: str) -> None:
        """Take a generation away, so that the next run finds what this one found."""
        keys = _KEYS.model_current(), _KEYS.model_generations(), _KEYS.model_decisions()
        self.client.delete(*keys)
        of_generation: Any = self.client.smembers(_KEYS.model_keys(generation))
        self.client.unlink(*of_generation)


@contextlib.contextmanager
def set_up(data: Data, folder: Path) -> Iterator[TrainingStage]:
    """Run a store with the data in it for the block.

    Raises:
        NotReadyError: the store did not come up.
    """
    server = valkey(free_port(), folder)
    with (
        tempfile.TemporaryDirectory(dir=folder) as files,
        running(server) as process,
        connect(server.address, "tickrec-benchmarks", timeout_s=60) as client,
    ):
        save_npz(Path(files) / USER_ITEMS, data.user_items, compressed=False)
        fill(server.address, _KEYS, data)
        yield TrainingStage(data, server, process.pid, client, Path(files))


def _peak_until_end(process: subprocess.Popen[bytes], command: Command) -> int:
    """Wait until a process has ended, and return the most memory that it had at once, in bytes.

    The kernel's figure for an ended child would include what this process had when it started the
    child, so the child's own high-water mark is sampled while it runs.
    """
    deadline, peak = time.monotonic() + _RUN_WITHIN_S, 0
    while (code := ended(process)) is None:
        peak = max(peak, peak_bytes(process.pid))
        if time.monotonic() > deadline:
            raise ContenderError(
                f"{command.name} did not end within {_RUN_WITHIN_S} s: {_said(command)}"
            )
        time.sleep(_LOOK_EVERY_S)
    if code:
        raise ContenderError(f"{command.name} ended with exit code {code}: {_said(command)}")
    return peak


def _said(command: Command) -> str:
    """Return the end of a log that is about to be deleted."""
    return command.log.read_text(errors="replace")[-2_000:].strip()


def _answers(client: Store, keys: Sequence[str]) -> Iterator[object]:
    for first in range(0, len(keys), _KEYS_AT_A_TIME):
        values: Any = client.mget(keys[first : first + _KEYS_AT_A_TIME])
        yield from values
