"""A copy that is killed with -9 in a transaction: some records are written, none committed.

`python -m tests.operations.repartition.killed FROM_PREFIX [WAREHOUSE]`: with an archive, among its
rows.
"""

import os
import signal
import sys

from operations.repartition import copier
from operations.repartition.archive import CopyArchive
from operations.repartition.progress import Copied
from runtime.archive import records as rows
from runtime.archive.config import ArchiveConfig
from runtime.kafka import broker
from runtime.settings import SharedSettings, read_settings

AT_ONCE = 1_000
COMMITTED = 3 * AT_ONCE
"""Records copied before that."""


class Killed(copier._Copier):
    def _write(self, topic: Copied, *records: object) -> None:
        super()._write(topic, *records)  # type: ignore[arg-type]
        self._die()

    def _write_archived(self, topic: Copied, *record: object) -> None:
        super()._write_archived(topic, *record)  # type: ignore[arg-type]
        self._die()

    def _die(self) -> None:
        if sum(each.records for each in self._topics.values()) > COMMITTED:
            self._producer.flush()
            os.kill(os.getpid(), signal.SIGKILL)


copier._RECORDS_AT_ONCE = AT_ONCE  # type: ignore[misc]
copier._Copier = Killed  # type: ignore[misc]
settings = read_settings(SharedSettings)
archive = None
if len(sys.argv) > 2:
    rows._BATCH_ROWS = AT_ONCE  # type: ignore[misc]
    config = ArchiveConfig(warehouse=sys.argv[2])
    archive = CopyArchive(config, broker.Admin(settings.kafka))
copier.copy(settings.kafka, sys.argv[1], lambda *_: None, archive)
