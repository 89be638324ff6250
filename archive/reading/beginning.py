"""Begins partitions from the table's position, given the log's current state."""

from collections.abc import Collection

import structlog

from archive import metrics
from archive.reading.broker import Broker
from archive.reading.resume import Resumed, resume
from archive.writing.table_writer import TableWriter
from runtime.archive.tables import positions_of

log = structlog.get_logger(__name__)


def begin(
    writer: TableWriter, broker: Broker, numbers: Collection[int], *, is_refused: bool
) -> dict[int, int]:
    """Forget what was read of partitions, and return from which offset each is read.

    Args:
        writer: of the table.
        broker: of the topic.
        numbers: of the partitions.
        is_refused: whether a fetch at the position was refused, see `archive.reading.resume`.

    Raises:
        runtime.archive.positions.PositionsError: how far the table goes is unknown.
        Exception: as `runtime.archive.catalog.is_passing` knows it, while a server is unreachable.
    """
    topic = writer.table.topic.name
    # The table first: if another archive commits after that, our commit is refused.
    positions = positions_of(writer.stored.checked(), writer.table)
    bounds = broker.bounds(topic, numbers)
    offsets = {}
    for number in sorted(numbers):
        before = positions.get(number)
        resumed = resume(before, bounds[number], is_refused=is_refused)
        writer.buffer.begin(number, before, resumed.at)
        offsets[number] = resumed.at.next
        _log_begin(writer.table.name, number, resumed)
    return offsets


def _log_begin(table: str, number: int, resumed: Resumed) -> None:
    fields = {"table": table, "partition": number, "log": resumed.at.log, "offset": resumed.at.next}
    if resumed.missing:
        metrics.MISSING.labels(table).inc(resumed.missing)
        log.error(
            "records are missing: the log had dropped them", missing=resumed.missing, **fields
        )
    if resumed.why in ("recreated", "lost its end"):
        metrics.STARTED_OVER.labels(table).inc()
        log.error("a partition begins another log", why=resumed.why, **fields)
    elif not resumed.missing:
        log.info("a partition begins", why=resumed.why, **fields)
