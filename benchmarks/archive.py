"""JSON quotes that stand in Kafka, to rows of the archive's Iceberg table.

Hypothesis: one archive keeps up with 200,000 quotes a second on one core, and a quote of 63 bytes
of JSON takes less than 12 of Parquet, though prices here walk at random and hardly repeat.

Work: `benchmarks.bars`' quotes, all in Kafka before the archive starts, 8 partitions; a SQLite
catalog and a folder on this machine's disk. It ends when the last quote is committed. Afterwards
the Parquet files of the last snapshot must hold each quote once, counted by the places of their
records. The seconds count from the first partition's assignment, the bytes a quote as the archive
wrote them and again after compaction; the greatest memory is that of the archive's process.
"""

import dataclasses
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import pyarrow.compute as pc
import typer
from pyiceberg.table import Table as IcebergTable
from rich.text import Text

from benchmarks.bars import make_quotes
from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError, awaited, started
from benchmarks.harness.namespace import Namespace
from benchmarks.harness.publish import publish, record
from benchmarks.harness.report import Report, computer, table
from benchmarks.harness.stage import Stage, python
from contracts.archive import PLACE, QUOTES_TABLE
from contracts.topics import QUOTES
from infra.local.process import stop
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
    buffer_mb: Annotated[int, typer.Option(min=1, help="ARCHIVE_BUFFER_MB")] = 256,
    *,
    json: session.Json = False,
) -> None:
    """JSON quotes in Kafka to Iceberg tables: quotes a second, and bytes a quote."""
    with session.on_stage() as stage:
        namespace = stage.namespace()
        publish(stage.broker.address, QUOTES.name, map(record, make_quotes(quotes, instruments)))
        runs = [_run(stage, namespace, quotes, buffer_mb) for _ in range(rounds)]
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
        said: Mapping[str, Any] = {"name": "archive", "quotes": quotes, "buffer_mb": buffer_mb}
        figures = [{**said, **dataclasses.asdict(r), **stage.servers._asdict()} for r in runs]
        on = Text(f"{computer()}, {stage.broker.product}", style="dim")
        session.present(Report(figures, (table(("round", *columns), rows), on)), json=json)


def _run(stage: Stage, namespace: Namespace, quotes: int, buffer_mb: int) -> Archived:
    """Archive the log from its beginning, in a new warehouse.

    Raises:
        ContenderError: it was not done, or a quote is not there once.
    """
    warehouse = stage.folder / "warehouse"
    shutil.rmtree(warehouse, ignore_errors=True)
    config = ArchiveConfig(warehouse=str(warehouse))
    settings = {
        "ARCHIVE_WAREHOUSE": str(warehouse),
        "ARCHIVE_BUFFER_MB": str(buffer_mb),
        "ARCHIVE_FLUSH_INTERVAL_S": "5",
    }
    command = stage.command("archive", (*python("archive"), "run"), namespace, settings)
    command.log.unlink(missing_ok=True)
    process = started(command)
    try:
        awaited(lambda: _has_begun(command.log), "the archive's start", process)
        started_s, usage = time.monotonic(), psutil.Process(process.popen.pid)
        before_s, greatest = _cpu_s(usage), 0

        def all_committed() -> IcebergTable | None:
            nonlocal greatest
            time.sleep(_LOOK_EVERY_S)
            greatest = max(greatest, usage.memory_info().rss)
            return _committed(config, quotes)

        found = awaited(all_committed, "archiving", process, within_s=_WITHIN_S)
        run = time.monotonic() - started_s, _cpu_s(usage) - before_s
    finally:
        stop(process)
    _check(found, quotes)
    size = _bytes(found)
    compaction = stage.command("compact", (*python("archive"), "compact"), namespace, settings)
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


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
