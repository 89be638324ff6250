"""Training: `python -m benchmarks train`.

Hypothesis: counts that the stream keeps are most of a model already. To rank the neighbors of all
items from them takes a fraction of what it takes to multiply the user-item matrix with itself.

Work: a store is filled with the counts of 50,000 items and 10 million pairs, made from users with
tastes (`train_data`). Ours is a whole run of the trainer, `python -m trainer once`, without users'
lists (`ITEM_MODEL=cosine`, `USER_MODEL=none`): counts from Redis, quality checks, the hold-out of
2,000 users, ranking, lists of 200 into Redis, publication. Its times of each stage are those of its
report.

Baseline: the same neighbors from the matrix of users and items in memory to lists in memory
(`train_peers`): scikit-learn's `cosine_similarity`, dense in chunks of rows, with `argpartition`;
`CosineRecommender` of implicit; `sp_matmul_topn` of sparse_dot_topn, on all cores. What is compared
is ours' model alone: fitting and ranking, from counts in memory to ranked lists in memory. The
products that the counts are made of were added up when the events came; theirs multiply them.
That all found the same lists is checked by the number of entries, and by the sum of the scores.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from scipy.sparse import save_npz

from benchmarks.harness.contender import ContenderError
from benchmarks.harness.environments import python_of
from benchmarks.harness.rounds import Run, interleaved
from benchmarks.reads.watch import Watch
from benchmarks.train_data import Data, fill, make
from benchmarks.train_report import OURS, SCIKIT_LEARN, Trained, Training
from contracts.keyspace import Current, Keyspace, SimilarList
from infra.local.paths import PROJECT
from infra.local.process import Command, Server, ended, free_port, running, start, stop
from infra.local.store import valkey
from runtime.stores import Store, connect
from trainer.generations.report import Report

MODEL_STAGES: Final = ("fit item model", "rank item lists")
NEIGHBORS: Final = 200
"""Of each item: the trainer's default."""
_SEED: Final = 1
_ENVIRONMENTS: Final = {"implicit": "implicit", "sparse-dot-topn": "topn"}
_RUN_WITHIN_S: Final = 600
_LOOK_EVERY_S: Final = 0.02
_SAME: Final = 1e-6
"""Relative difference of sums that rounding to 12 digits, and 32-bit floats, may make."""
NAMESPACE: Final = "bench-train"
_KEYS_AT_A_TIME: Final = 500


class Result(msgspec.Struct, frozen=True):
    """What a peer says."""

    seconds: float
    cpu_s: float
    peak_bytes: int
    entries: int
    score: float
    version: str


@dataclass(frozen=True, slots=True)
class Scene:
    """A store that has the counts, and a folder that has the matrix."""

    data: Data
    store: Server
    store_pid: int
    client: Store
    folder: Path

    def ours(self) -> Trained:
        """Let the trainer run once, and take away what it published.

        Raises:
            ContenderError: it failed.
        """
        settings = {
            "REDIS_URL": self.store.address,
            "NAMESPACE": NAMESPACE,
            "ITEM_MODEL": "cosine",
            "USER_MODEL": "none",
            "NEIGHBORS_PER_ITEM": str(NEIGHBORS),
        }
        argv = (sys.executable, "-m", "trainer", "once")
        peak, whole_s, others = self.run("trainer", argv, settings)
        keys = Keyspace(NAMESPACE)
        current = msgspec.json.decode(str(self.client.get(keys.model_current())), type=Current)
        (served,) = current.variants.values()
        report = msgspec.json.decode(
            str(self.client.get(keys.model_report(served.generation))), type=Report
        )
        score = self._score(served.generation)
        self._forget(served.generation)
        seconds = sum(report.seconds[stage] for stage in MODEL_STAGES)
        return Trained(
            self.data.pairs,
            seconds,
            {"others": others * seconds},
            peak,
            report.lists.similar_entries,
            score,
            "",
            whole_s,
            report.seconds,
        )

    def peer(self, name: str) -> Trained:
        """Let a peer find the same neighbors.

        Raises:
            ContenderError: it failed.
        """
        environment = _ENVIRONMENTS.get(name)
        python = str(python_of(environment)) if environment else sys.executable
        module = f"{__package__}.train_peers"
        argv = (python, "-W", "ignore", "-m", module, name, str(self.folder), str(NEIGHBORS))
        # Its makers' advice to implicit, which has threads of its own.
        _, _, others = self.run(name, argv, {"OPENBLAS_NUM_THREADS": "1"})
        said = self._log(name).read_bytes().splitlines()[-1]
        found = msgspec.json.decode(said, type=Result)
        return Trained(
            self.data.pairs,
            found.seconds,
            {"others": others * found.seconds},
            found.peak_bytes,
            found.entries,
            found.score,
            found.version,
        )

    def run(
        self, name: str, argv: tuple[str, ...], settings: Mapping[str, str]
    ) -> tuple[int, float, float]:
        """Run a process to its end.

        Returns:
            the most memory that it had at once, in bytes; the seconds that it took; how many cores
            others kept busy meanwhile.
        """
        command = Command(name, argv, self._log(name), {"PYTHONPATH": str(PROJECT), **settings})
        watch, began = Watch({"store": [self.store_pid]}), time.perf_counter()
        process = start(command)
        try:
            peak = _peak_until_end(process, command)
        finally:
            stop((process, command))
        seconds = time.perf_counter() - began
        return peak, seconds, watch.cpu_s()["others"] / seconds

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _score(self, generation: str) -> float:
        """Return the sum of the scores of all neighbors."""
        keys = Keyspace(NAMESPACE)
        lists = (
            msgspec.json.decode(str(encoded), type=SimilarList)
            for encoded in _answers(
                self.client,
                [
                    keys.model_similar(generation, str(item))
                    for item in range(self.data.gram.shape[0])
                ],
            )
        )
        return sum(neighbor.score for one in lists for neighbor in one.items)

    def _forget(self, generation: str) -> None:
        """Take a generation away, so that the next run finds what this one found."""
        keys = Keyspace(NAMESPACE)
        self.client.delete(keys.model_current(), keys.model_generations(), keys.model_decisions())
        of_generation: Any = self.client.smembers(keys.model_keys(generation))
        self.client.unlink(*of_generation)


def measure(
    items: int, pairs: int, rounds: int, folder: Path, say: Callable[[int, str, Run], None]
) -> Training:
    """Let ours and the peers take turns.

    Raises:
        NoEnvironmentError: a peer cannot be had here, and why.
        ContenderError: a contender failed, or found something else.
        NotReadyError: the store did not come up.
    """
    for environment in _ENVIRONMENTS.values():
        python_of(environment)
    with set_up(make(items, pairs, _SEED), folder) as scene:
        contenders: dict[str, Callable[[], Trained]] = {OURS: scene.ours}
        for name in (SCIKIT_LEARN, *_ENVIRONMENTS):
            contenders[name] = lambda name=name: scene.peer(name)  # type: ignore[misc]
        runs = interleaved(contenders, rounds, say)
        _check_same(runs)
        return Training(f"{scene.data}, {NEIGHBORS} neighbors each", runs, scene.store.product)


@contextlib.contextmanager
def set_up(data: Data, folder: Path) -> Iterator[Scene]:
    """Run a store with the data in it for the block."""
    server = valkey(free_port(), folder)
    with (
        tempfile.TemporaryDirectory(dir=folder) as files,
        running(server) as process,
        connect(server.address, "tickrec-benchmarks", timeout_s=60) as client,
    ):
        save_npz(Path(files) / "user_items.npz", data.user_items, compressed=False)
        fill(server.address, Keyspace(NAMESPACE), data)
        yield Scene(data, server, process.pid, client, Path(files))


def _peak_until_end(process: subprocess.Popen[bytes], command: Command) -> int:
    """Wait until a process has ended, and return the most memory that it had at once, in bytes.

    What the kernel tells of a child that has ended would count what this process had when it
    started the child, so its own high-water mark is looked at while it runs.
    """
    deadline, peak = time.monotonic() + _RUN_WITHIN_S, 0
    while (code := ended(process)) is None:
        peak = max(peak, _peak_bytes(process.pid))
        if time.monotonic() > deadline:
            raise ContenderError(
                f"{command.name} did not end within {_RUN_WITHIN_S} s: {_said(command)}"
            )
        time.sleep(_LOOK_EVERY_S)
    if code:
        raise ContenderError(f"{command.name} ended with exit code {code}: {_said(command)}")
    return peak


def _peak_bytes(pid: int) -> int:
    """Return the high-water mark of a process's memory; 0 when it has ended."""
    with contextlib.suppress(ProcessLookupError):
        for entry in Path(f"/proc/{pid}/status").read_text().splitlines():
            if entry.startswith("VmHWM"):
                return int(entry.split()[1]) * 1024
    return 0


def _said(command: Command) -> str:
    """Return the end of a log that is about to be deleted."""
    return command.log.read_text(errors="replace")[-2_000:].strip()


def _answers(client: Store, keys: list[str]) -> Iterator[object]:
    for first in range(0, len(keys), _KEYS_AT_A_TIME):
        values: Any = client.mget(keys[first : first + _KEYS_AT_A_TIME])
        yield from values


def _check_same(runs: Mapping[str, list[Trained]]) -> None:
    """Compare what the contenders found.

    Raises:
        ContenderError: it is not the same.
    """
    ours = runs[OURS][0]
    for name, its in runs.items():
        for run in its:
            if run.entries != ours.entries or not np.isclose(run.score, ours.score, rtol=_SAME):
                raise ContenderError(
                    f"{name} found {run.entries:,} neighbors with a sum of scores of {run.score}, "
                    f"{OURS} {ours.entries:,} with {ours.score}"
                )
