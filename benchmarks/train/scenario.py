"""Training: `python -m benchmarks train`.

Hypothesis: counts that the stream keeps are most of a model already, so the lists of 50,000 items
are published within 10 s of the trainer's start.

Work: a store is filled with the counts of 50,000 items, 9.8 million pairs of which 100,000 users
with tastes have both (`benchmarks.train.data`). Then the trainer runs, `python -m trainer once`,
without users' lists (`ITEM_MODEL=cosine`, `USER_MODEL=none`): counts from Redis, quality checks,
the hold-out of 2,000 users, ranking, lists of 200 into Redis, publication. Its times of each stage
are those of its report.

Baseline: the clock.
"""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.report import Report, Servers, conditions, ends, met, table
from benchmarks.harness.rounds import Spread
from benchmarks.harness.stage import python
from benchmarks.harness.usage import Watch, peak_bytes
from benchmarks.train.data import Data, fill, make
from contracts.generations import Current
from contracts.keyspace import Keyspace
from infra.local.paths import PROJECT
from infra.local.process import Command, ended, free_port, running, start, stop
from infra.local.store import valkey
from runtime.redis.stores import Store, connect
from trainer.generations.report import Report as GenerationReport

NEIGHBORS: Final = 200
"""Of each item: the trainer's default."""
WITHIN_S: Final = 10.0
MOST_BYTES: Final = 2 << 30
_MB: Final = 1_000_000
_SEED: Final = 1
_KEYS: Final = Keyspace("bench-train")
_ENDS_WITHIN_S: Final = 600
_LOOK_EVERY_S: Final = 0.02
_SETTINGS: Final = {
    "ITEM_MODEL": "cosine",
    "USER_MODEL": "none",
    "NEIGHBORS_PER_ITEM": str(NEIGHBORS),
    "NAMESPACE": _KEYS.namespace,
    "PYTHONPATH": str(PROJECT),
}


@dataclass(frozen=True, slots=True)
class Training:
    """One run of the trainer, from the start of its process to its end."""

    seconds: float
    peak_bytes: int
    """the most memory that it had at once"""
    busy_other_cores: float
    stages_s: dict[str, float]


def train(
    rounds: session.Rounds = 3,
    items: Annotated[int, typer.Option(min=1_000)] = 50_000,
    users: Annotated[int, typer.Option(min=100)] = 100_000,
    *,
    json: session.Json = False,
) -> None:
    """Counts in Redis to lists that are served, against the clock."""
    data = make(items, users, _SEED)
    with session.folder() as path:
        runs, store = train_on(data, path, rounds)
        session.present(report(data, runs, store), json=json)


def train_on(data: Data, folder: Path, rounds: int) -> tuple[list[Training], str]:
    """Fill a store and train on it once a round; return the runs, and what the store is.

    Raises:
        NotReadyError: the store did not come up.
        ContenderError: the trainer failed.
    """
    server = valkey(free_port(), folder)
    settings = {**_SETTINGS, "REDIS_URL": server.address}
    command = Command("trainer", (*python("trainer"), "once"), folder / "trainer.log", settings)
    with (
        running(server) as process,
        connect(server.address, "tickrec-benchmarks", timeout_s=60) as client,
    ):
        fill(server.address, _KEYS, data)
        return [_run(command, client, process.pid) for _ in range(rounds)], server.product


def _run(command: Command, client: Store, store_pid: int) -> Training:
    """Let the trainer run once, and take away what it published: the next run starts as this one.

    Raises:
        ContenderError: it failed.
    """
    watch, began_s = Watch({"store": store_pid}), time.perf_counter()
    process = start(command)
    try:
        peak = _peak_until_end(process, command)
    finally:
        stop((process, command))
    seconds = time.perf_counter() - began_s
    # The trainer itself is part of the load.
    busy = watch.cpu_s()["others"] / seconds
    current = msgspec.json.decode(str(client.get(_KEYS.model_current())), type=Current)
    (generation,) = (served.generation for served in current.variants.values())
    encoded = str(client.get(_KEYS.model_report(generation)))
    stages_s = msgspec.json.decode(encoded, type=GenerationReport).seconds
    client.delete(_KEYS.model_current(), _KEYS.model_generations(), _KEYS.model_decisions())
    published: Any = client.smembers(_KEYS.model_keys(generation))
    client.unlink(*published)
    return Training(seconds, peak, busy, dict(stages_s))


def _peak_until_end(process: subprocess.Popen[bytes], command: Command) -> int:
    """Wait until a process has ended, and return the most memory that it had at once, in bytes.

    The kernel's figure for an ended child would include what this process had when it started the
    child, so the child's own high-water mark is sampled while it runs.
    """
    deadline, peak = time.monotonic() + _ENDS_WITHIN_S, 0
    while (code := ended(process)) is None:
        peak = max(peak, peak_bytes(process.pid))
        if time.monotonic() > deadline:
            raise ContenderError(
                f"{command.name} did not end within {_ENDS_WITHIN_S} s: see {command.log}"
            )
        time.sleep(_LOOK_EVERY_S)
    if code:
        raise ContenderError(f"{command.name} ended with exit code {code}: see {command.log}")
    return peak


def report(data: Data, runs: Sequence[Training], store: str) -> Report:
    """Report how long a run took, its stages, and its memory."""
    seconds = Spread.of([run.seconds for run in runs])
    neighbors = Spread.of([run.busy_other_cores for run in runs])
    peak = max(run.peak_bytes for run in runs)
    reached = seconds.median <= WITHIN_S and peak <= MOST_BYTES
    stages = {name: Spread.of([run.stages_s[name] for run in runs]) for name in runs[0].stages_s}
    work = f"{data}, {NEIGHBORS} neighbors each"
    figures = {
        "name": "train",
        "work": work,
        "value": round(seconds.median, 3),
        "unit": "s of a whole run",
        "baseline": "the clock",
        "baseline_value": WITHIN_S,
        "ratio": round(seconds.median / WITHIN_S, 3),
        "spread": {"value": ends(seconds, 3)},
        "reached": reached,
        "rounds": len(runs),
        "peak_mb": round(peak / _MB),
        "stages_s": {name: round(its.median, 3) for name, its in stages.items()},
        "busy_other_cores": ends(neighbors, 2),
        "store": store,
    }
    rows = [*stages.items(), ("whole run", seconds)]
    verdict = (
        f"[bold]{seconds.median:.2f} s[/], {peak / _MB:,.0f} MB; at most {WITHIN_S:g} s and "
        f"{MOST_BYTES / _MB:,.0f} MB: {met(reached)}"
    )
    return Report(
        [figures],
        [
            table(
                ("from Redis to published", "s", "least .. greatest"),
                [(name, f"{its.median:.2f}", f"{its:.2f}") for name, its in rows],
                work,
            ),
            verdict,
            conditions(*Servers("no broker", store), neighbors),
        ],
    )
