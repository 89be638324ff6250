"""Compacts, erases and cleans the tables in rounds; a failure of one does not affect the others.

Several processes may do it at once: if two rewrite the same files, the commit of one is refused.
"""

import threading
import time
from collections.abc import Callable, Collection
from typing import Final

import structlog
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError

from archive import metrics
from archive.maintenance.cleaning import clean
from archive.maintenance.compaction import Rule, compact
from archive.maintenance.erasure import OF_USERS, Erasure
from archive.reading.broker import Broker
from archive.service import State
from archive.settings import MIB, ArchiveSettings
from archive.stored_table import (
    GoneError,
    StoredTable,
    maintained_s,
    note_maintained,
    show_maintained,
)
from contracts.archive import INTERACTIONS_TABLE, TABLES, ArchiveTable
from runtime.archive.catalog import is_passing
from runtime.archive.positions import Position

EVERY_S: Final = 300.0
"""From one round to the next; erasure and cleaning are in one of
`ArchiveSettings.maintenance_interval_s`."""
_IN_ORDER: Final = (*OF_USERS, *(table for table in TABLES if table not in OF_USERS))

log = structlog.get_logger(__name__)


def maintain(
    catalog: Catalog,
    settings: ArchiveSettings,
    broker: Broker,
    tables: Collection[ArchiveTable],
    *,
    is_forced: bool = False,
    goes_on: Callable[[], bool] = lambda: True,
) -> dict[str, str]:
    """Do one round: compact each table, and erase and clean it if that is due.

    Args:
        catalog: that has the tables.
        settings: of the archive.
        broker: of the topics.
        tables: which ones; one that is not made yet is left out.
        is_forced: whether all of it is due, and small files are merged however new they are.
        goes_on: called before each table; the round ends if it returns False.

    Returns:
        table -> why its round failed; the others' rounds do not depend on it. Tombstones
        are in `interactions`, so erasure from `feedback` needs that table.
    """
    erasure = Erasure(
        catalog,
        settings.archive,
        lambda: _earliest_interactions(broker),
        settings.times.files_good_for_s,
    )
    failed = {}
    for table in _IN_ORDER:
        if table not in tables:
            continue
        if not goes_on():
            break
        try:
            stored = StoredTable(catalog, settings.archive, table)
            _maintain(stored, settings, erasure, is_forced=is_forced)
        except Exception as error:  # noqa: BLE001 (of this table, and logged below)
            failed[table.name] = f"{type(error).__name__}: {error}"
            _log_failed(table, error)
    return failed


def _maintain(
    stored: StoredTable, settings: ArchiveSettings, erasure: Erasure, *, is_forced: bool
) -> None:
    table, now_s = stored.table, time.time()
    try:
        found = stored.load()
    except NoSuchTableError:
        return
    since_s = now_s - maintained_s(found)
    is_whole = is_forced or since_s >= settings.maintenance_interval_s
    show_maintained(found, table)
    if is_whole and table in OF_USERS:
        erasure.run(table)
    rule = Rule(settings.archive_file_mb * MIB, settings.times.files_good_for_s, is_forced)
    compact(stored, rule, now_s)
    if is_whole:
        clean(stored, settings.times, time.time())
        pending = erasure.pending(table).in_files if table in OF_USERS else None
        note_maintained(stored, now_s, pending)


def _log_failed(table: ArchiveTable, error: Exception) -> None:
    metrics.MAINTENANCE_FAILED.labels(table.name).inc()
    if isinstance(error, CommitFailedException | GoneError):
        log.info("maintenance came too late, and is tried again", table=table.name, why=str(error))
    elif is_passing(error):
        why = f"{type(error).__name__}: {error}"
        log.warning("maintenance is put off", table=table.name, why=why)
    else:
        log.error("maintenance fails", table=table.name, exc_info=error)


def _earliest_interactions(broker: Broker) -> dict[int, Position]:
    """Return where the log of each partition of `interactions` begins now."""
    topic = INTERACTIONS_TABLE.topic.name
    bounds = broker.bounds(topic, range(broker.partitions(topic)))
    return {p: Position(b.topic_id, 0, b.earliest) for p, b in bounds.items()}


def maintain_until(
    stop: threading.Event,
    catalog: Catalog,
    settings: ArchiveSettings,
    broker: Broker,
    state: State,
) -> None:
    """Run rounds until a stop is requested, and report their state."""

    def goes_on() -> bool:
        state.beat()
        return not stop.is_set()

    every_s = min(EVERY_S, settings.maintenance_interval_s)
    while goes_on():
        failed = maintain(catalog, settings, broker, TABLES, goes_on=goes_on)
        state.waits_for = "; ".join(f"{name}: {why}" for name, why in failed.items()) or None
        state.beat()
        stop.wait(every_s)
