"""JSON quotes in Kafka, to rows of the archive's Iceberg table.

Hypothesis: one archive keeps up with 200,000 quotes a second on one core, and a quote of 63 bytes
of JSON takes less than 12 of Parquet, though prices here walk at random and hardly repeat.

Work: `benchmarks.bars`' quotes, all in Kafka before the archive starts, 8 partitions; a SQLite
catalog and a folder on this machine's disk. It ends when the last quote is committed. Afterwards
the Parquet files of the last snapshot must hold each quote once, counted by the places of their
records. The seconds count from the first partition's assignment, the bytes a quote as the archive
wrote them and again after compaction; the greatest memory is that of the archive's process.

Baseline: the clock.
"""

import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc
from pyiceberg.table import Table as IcebergTable
from rich.text import Text

from benchmarks.bars import make_quotes
from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError, Process, awaited, started
from benchmarks.harness.namespace import Namespace
from benchmarks.harness.publish import publish, record
from benchmarks.harness.report import Report, computer, table
from benchmarks.harness.stage import Stage, python
from benchmarks.harness.usage import read_clock, rss_bytes, spent
from contracts.archive import PLACE, QUOTES_TABLE
from contracts.topics import QUOTES
from infra.local.process import Command, stop
from runtime.archive.catalog import load, open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import positions_of

_LOOK_EVERY_S: Final = 0.5
"""Each look opens the catalog, which takes time of the other core."""
_WITHIN_S: Final = 300.0
_ASSIGNED: Final = '"message": "assigned"'


@dataclasses.dataclass(frozen=True, slots=True)
class Archived:
    """What one run of the archive came to."""

    seconds: float
    cpu_s: float
    greatest_bytes: int
    """of memory that the process had"""
    bytes_a_quote: float
    compacted_bytes_a_quote: float


def archive(
    rounds: session.Rounds = 3,
    quotes: session.Quotes = 4_000_000,
    instruments: session.Instruments = 50_000,
    *,
    json: session.Json = False,
) -> None:
    """JSON quotes in Kafka to Iceberg tables: quotes a second, and bytes a quote."""
    with session.on_stage() as stage:
        namespace = stage.namespace()
        publish(stage.broker.address, QUOTES.name, map(record, make_quotes(quotes, instruments)))
        runs = [_run(stage, namespace, quotes) for _ in range(rounds)]
        session.present(_report(stage, runs, quotes), json=json)


def _report(stage: Stage, runs: list[Archived], quotes: int) -> Report:
    columns = ("quotes/s", "CPU us each", "memory MiB", "bytes a quote", "compacted")
    rows = [
        (
            str(n),
            f"{quotes / run.seconds:,.0f}",
            f"{run.cpu_s / quotes * 1e6:.2f}",
            f"{run.greatest_bytes / 2**20:,.0f}",
            f"{run.bytes_a_quote:.2f}",
            f"{run.compacted_bytes_a_quote:.2f}",
        )
        for n, run in enumerate(runs, 1)
    ]
    said: Mapping[str, Any] = {"name": "archive", "quotes": quotes}
    figures = [{**said, **dataclasses.asdict(run), **stage.servers._asdict()} for run in runs]
    on = Text(f"{computer()}, {stage.broker.product}", style="dim")
    return Report(figures, (table(("round", *columns), rows), on))


@contextmanager
def _archiving(stage: Stage, namespace: Namespace) -> Iterator[tuple[Process, ArchiveConfig]]:
    """Archive the log from its beginning, in a new warehouse, for the block, from its start on."""
    config = ArchiveConfig(warehouse=str(stage.folder / "warehouse"))
    shutil.rmtree(config.warehouse, ignore_errors=True)
    command = _command(stage, namespace, "run", config)
    command.log.unlink(missing_ok=True)
    process = started(command)
    try:
        awaited(lambda: _has_begun(command.log), "the archive's start", process)
        yield process, config
    finally:
        stop(process)


def _command(stage: Stage, namespace: Namespace, name: str, config: ArchiveConfig) -> Command:
    settings = {
        "ARCHIVE_WAREHOUSE": config.warehouse,
        "ARCHIVE_FLUSH_INTERVAL_S": "5",
    }
    return stage.command(f"archive-{name}", (*python("archive"), name), namespace, settings)


def _run(stage: Stage, namespace: Namespace, quotes: int) -> Archived:
    """Archive the log.

    Raises:
        ContenderError: it was not done, or a quote is not there once.
    """
    with _archiving(stage, namespace) as (process, config):
        started_s, pids = time.monotonic(), {"archive": process.popen.pid}
        before, greatest = read_clock(pids), 0

        def all_committed() -> IcebergTable | None:
            nonlocal greatest
            time.sleep(_LOOK_EVERY_S)
            greatest = max(greatest, rss_bytes(process.popen.pid))
            return _committed(config, quotes)

        found = awaited(all_committed, "archiving", process, within_s=_WITHIN_S)
        run = time.monotonic() - started_s, spent(before, read_clock(pids))["archive"]
    _check(found, quotes)
    size = _bytes(found)
    compaction = _command(stage, namespace, "compact", config)
    if started(compaction).popen.wait():
        raise ContenderError(f"the compaction failed: see {compaction.log}")
    compacted = _committed(config, quotes)
    if compacted is None:
        raise ContenderError("the compaction changed how far the table goes")
    _check(compacted, quotes)
    return Archived(*run, greatest, size / quotes, _bytes(compacted) / quotes)


def _has_begun(log: Path) -> bool | None:
    return (log.exists() and _ASSIGNED in log.read_text()) or None


def _committed(config: ArchiveConfig, quotes: int) -> IcebergTable | None:
    found = load(open_catalog(config), config, QUOTES_TABLE)
    if found is None:
        return None
    covered = sum(position.next for position in positions_of(found, QUOTES_TABLE).values())
    return found if covered >= quotes else None


def _check(found: IcebergTable, quotes: int) -> None:
    """Compare a table with what was published.

    Raises:
        ContenderError: a quote is not there, or twice.
    """
    places = found.scan(selected_fields=PLACE).to_arrow()
    distinct = places.group_by(list(PLACE)).aggregate([]).num_rows
    if (places.num_rows, distinct) != (quotes, quotes) or pc.max(places["log"]).as_py() != 0:
        raise ContenderError(f"{quotes} quotes are {places.num_rows} rows, {distinct} of them once")


def _bytes(found: IcebergTable) -> int:
    return sum(task.file.file_size_in_bytes for task in found.scan().plan_files())
