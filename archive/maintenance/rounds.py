"""Compacts, erases and cleans beside the reading, on a thread of its own.

Each table is looked after by the archive that reads partition 0 of its topic, so that several of a
group do not do the same work; if two did, the commit of one would be refused.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException

from archive import metrics
from archive.maintenance.cleaning import clean
from archive.maintenance.compaction import Rule, compact
from archive.maintenance.erasure import erase
from archive.reading.broker import Broker
from archive.settings import MIB, ArchiveSettings
from archive.writing.commits import GoneError
from contracts.archive import INTERACTIONS_TABLE, ArchiveTable
from runtime.archive.catalog import is_passing
from runtime.archive.positions import Position

COMPACT_EVERY_S: Final = 300.0

log = structlog.get_logger(__name__)


def maintain(
    catalog: Catalog,
    settings: ArchiveSettings,
    broker: Broker,
    tables: Sequence[ArchiveTable],
    *,
    is_forced: bool,
) -> None:
    """Erase, compact and clean once.

    Args:
        catalog: that has the tables.
        settings: of the archive.
        broker: of the topics.
        tables: which ones.
        is_forced: whether small files are put together however new they are.
    """
    config, rule = settings.archive, _rule(settings, is_forced=is_forced)
    if INTERACTIONS_TABLE in tables:
        erase(catalog, config, earliest_interactions(broker), settings.times.files_good_for_s)
    for table in tables:
        compact(catalog, config, table, rule, time.time())
        clean(catalog, config, table, settings.times, time.time())


def _rule(settings: ArchiveSettings, *, is_forced: bool = False) -> Rule:
    return Rule(settings.archive_file_mb * MIB, settings.times.files_good_for_s, is_forced)


def earliest_interactions(broker: Broker) -> dict[int, Position]:
    """Return where the log of each partition of `interactions` begins now."""
    topic = INTERACTIONS_TABLE.topic.name
    bounds = broker.bounds(topic, range(broker.partitions(topic)))
    return {p: Position(b.topic_id, 0, b.earliest) for p, b in bounds.items()}


class Maintenance:
    """The thread."""

    def __init__(
        self,
        catalog: Catalog,
        settings: ArchiveSettings,
        broker: Broker,
        ours: Callable[[], Sequence[ArchiveTable]],
        stop: threading.Event,
    ) -> None:
        """Take what it works with, and `ours`, which says whom it looks after now."""
        self._catalog, self._settings, self._broker = catalog, settings, broker
        self._ours, self._stop = ours, stop
        self.error: Exception | None = None
        """by which it ended; whoever waits for `stop` sees to it"""
        self.thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def _run(self) -> None:
        last_s = -self._settings.maintenance_interval_s
        every_s = min(COMPACT_EVERY_S, self._settings.maintenance_interval_s)
        while not self._stop.wait(every_s):
            try:
                is_whole = time.monotonic() - last_s >= self._settings.maintenance_interval_s
                self._round(is_whole=is_whole)
                last_s = time.monotonic() if is_whole else last_s
            except (CommitFailedException, GoneError) as error:
                log.info("maintenance came too late, and is tried again", why=str(error))
            except Exception as error:  # noqa: BLE001 (the one who waits for `stop` gets it)
                if not is_passing(error):
                    self.error = error
                    self._stop.set()
                    return
                log.warning("maintenance is put off", why=f"{type(error).__name__}: {error}")

    def _round(self, *, is_whole: bool) -> None:
        tables = self._ours()
        if is_whole:
            maintain(self._catalog, self._settings, self._broker, tables, is_forced=False)
            for table in tables:
                metrics.MAINTAINED_TIMESTAMP.labels(table.name).set_to_current_time()
            return
        rule = _rule(self._settings)
        for table in tables:
            compact(self._catalog, self._settings.archive, table, rule, time.time())
