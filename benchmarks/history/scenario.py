"""The command `history`: the archive, the readers, and the report."""

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import httpx
import typer

from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.cpu import read_clock, spent
from benchmarks.harness.latencies import Latencies
from benchmarks.harness.namespace import Namespace
from benchmarks.harness.report import Report, computer
from benchmarks.harness.rounds import interleaved
from benchmarks.harness.serving import answering
from benchmarks.harness.stage import Stage, python
from benchmarks.history.data import DAY_MS, MINUTES_A_DAY, write_day
from benchmarks.reads.answered import Answered
from benchmarks.reads.measured import Measured, Pair
from benchmarks.reads.minutes import Minutes
from benchmarks.reads.wrk import Load, drive
from contracts.keyspace import FOLDING_FIELD
from contracts.topics import QUOTES
from infra.local.process import LOOPBACK, free_port, running
from runtime.archive.config import ArchiveConfig

_SEED: Final = 1
_MOST_S: Final = 0.2
_PAGE: Final = 1_000
_HOT: Final = 1_000
"""Instruments with bars in Redis."""
_CONNECTIONS: Final = 64
_WITH: Final = "with an archive"
_WITHOUT: Final = "without"
_BUSY: Final = "while others read it"
_READERS: Final = 4
_WAIT_S: Final = 30


def history(
    rounds: session.Rounds = 5,
    instruments: Annotated[int, typer.Option(min=100, help="in the archive")] = 50_000,
    days: Annotated[int, typer.Option(min=10, help="of one instrument that are read")] = 200,
    seconds: Annotated[int, typer.Option(min=1, help="that Redis's bars are asked for")] = 2,
    *,
    json: session.Json = False,
) -> None:
    """Bars past what Redis retains, of one instrument out of 50,000; and those that it retains."""
    with session.on_stage() as stage:
        config = ArchiveConfig(warehouse=str(stage.folder / "archive"))
        day = int(time.time() * 1000) // DAY_MS - 1
        full = write_day(config, instruments, day, _SEED)
        asked = random.Random(_SEED).sample(full, min(days, len(full)))
        namespace = stage.namespace()
        for partition in range(namespace.topology.quotes):
            place = namespace.keys.position(QUOTES, partition)
            stage.client.hset(place, FOLDING_FIELD, '{"bars_retention_minutes":60}')
        minutes = Minutes(stage.store.address, namespace.keys, namespace.topology, _HOT, _SEED)
        minutes.cover(600 + 3 * rounds * seconds)
        archive = {"ARCHIVE_WAREHOUSE": config.warehouse}
        with (
            _api(stage, namespace, _WITH, archive) as ours,
            _api(stage, namespace, _WITHOUT, {}) as plain,
        ):
            session.present(_days(ours, asked, day, instruments), json=json)
            paths = [f"/v1/instruments/{instrument}/bars" for instrument in range(_HOT)]
            load = Load(paths, _CONNECTIONS, seconds)
            archive_readers = ArchiveReaders(ours[1], full, day)
            session.present(_hot(stage, load, ours, plain, archive_readers, rounds), json=json)


@contextlib.contextmanager
def _api(
    stage: Stage, namespace: Namespace, name: str, settings: Mapping[str, str]
) -> Iterator[tuple[int, int]]:
    """Run our API for the block; hand out its process and its port."""
    port = free_port()
    own = {"API_HOST": LOOPBACK, "API_PORT": str(port), **settings}
    command = stage.command(name.replace(" ", "-"), python("api"), namespace, own)
    with running(answering(command, port, "/health/ready")) as process:
        yield process.pid, port


def _days(api: tuple[int, int], asked: Sequence[int], day: int, instruments: int) -> Report:
    """Read a day of each instrument, one after the other."""
    pid, port = api
    with httpx.Client(base_url=f"http://{LOOPBACK}:{port}", timeout=_WAIT_S) as client:
        first_s = _read_day(client, asked[0], day)
        before = read_clock({"api": pid})
        took_s = [_read_day(client, instrument, day) for instrument in asked[1:]]
        cpu_s = spent(before, read_clock({"api": pid}))["api"] / len(took_s)
    return _report(Latencies.of(took_s), first_s, cpu_s, instruments)


def _read_day(client: httpx.Client, instrument: int, day: int) -> float:
    """Read a day in pages, and return how long it took, seconds.

    Raises:
        ContenderError: it is not all of it.
    """
    token: str | None = ""
    bars, started_s = 0, time.perf_counter()
    while token is not None:
        query = {"start": day * DAY_MS, "end": (day + 1) * DAY_MS, "limit": _PAGE}
        path = f"/v1/instruments/{instrument}/bars"
        answer = client.get(path, params={**query, "page_token": token})
        if answer.status_code != 200:
            raise ContenderError(f"{instrument}: {answer.status_code} {answer.text}")
        page = answer.json()
        bars, token = bars + len(page["bars"]), page["next_page_token"]
    took_s = time.perf_counter() - started_s
    if bars != MINUTES_A_DAY:
        raise ContenderError(f"{instrument} has {bars} bars, not {MINUTES_A_DAY}")
    return took_s


@dataclass(frozen=True, slots=True)
class ArchiveReaders:
    """Archive readers that run while others ask for what Redis retains."""

    port: int
    instruments: Sequence[int]
    day: int

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read as fast as answers come, for the block."""
        over = threading.Event()
        threads = [
            threading.Thread(target=self._read, args=(over, seed)) for seed in range(_READERS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _read(self, over: threading.Event, seed: int) -> None:
        draw = random.Random(seed)
        query = {"end": (self.day + 1) * DAY_MS, "limit": _PAGE}
        with httpx.Client(base_url=f"http://{LOOPBACK}:{self.port}", timeout=_WAIT_S) as client:
            while not over.is_set():
                path = f"/v1/instruments/{draw.choice(self.instruments)}/bars"
                with contextlib.suppress(httpx.HTTPError):
                    client.get(path, params=query)


def _hot(
    stage: Stage,
    load: Load,
    ours: tuple[int, int],
    plain: tuple[int, int],
    archive_readers: ArchiveReaders,
    rounds: int,
) -> Measured:
    """Have wrk ask for what Redis retains."""

    def ask(api: tuple[int, int]) -> Answered:
        watched = {"server": [api[0]], "store": [stage.pids["store"]]}
        return drive(load, [api[1]], watched, stage.folder)

    def ask_busy() -> Answered:
        with archive_readers.reading():
            return ask(ours)

    contenders = {
        _WITH: lambda: ask(ours),
        _WITHOUT: lambda: ask(plain),
        _BUSY: ask_busy,
    }
    runs = interleaved(contenders, rounds, session.say)
    work = f"the last 5 minutes of one of {_HOT:,} instruments, {load.connections} connections"
    pairs = [Pair(_WITH, _WITHOUT), Pair(_BUSY, _WITHOUT)]
    return Measured("history: bars in Redis", work, runs, pairs, stage.store.product)


def _report(took: Latencies, first_s: float, cpu_s: float, instruments: int) -> Report:
    figures = {
        "name": "history: a day of minutes",
        "work": f"{MINUTES_A_DAY} minutes of one of {instruments:,} instruments, in two pages",
        "unit": "s",
        "days": took.count,
        "first_s": round(first_s, 4),
        "p50_s": took.p50_s,
        "p99_s": took.p99_s,
        "max_s": took.max_s,
        "cpu_s": round(cpu_s, 4),
        "reached": took.p99_s < _MOST_S,
    }
    said = (
        f"a day of minutes of one of {instruments:,} instruments: p50 {1000 * took.p50_s:.0f} ms, "
        f"p99 {1000 * took.p99_s:.0f} ms, longest {1000 * took.max_s:.0f} ms of {took.count}, "
        f"{1000 * cpu_s:.0f} ms of the API's CPU each; the first {1000 * first_s:.0f} ms. "
        f"{computer()}"
    )
    return Report([figures], [said])
