"""Copies, and is killed with -9 in a transaction: some of its records are written, none committed.

`python -m tests.infra.repartition.killed FROM_PREFIX`
"""

import os
import signal
import sys

from infra.repartition import copying
from infra.repartition.progress import Copied
from runtime.settings import SharedSettings, read_settings

AT_ONCE = 1_000
COMMITTED = 3 * AT_ONCE
"""Records that are copied before."""


class Killed(copying._Copier):
    def _write(self, topic: Copied, *records: object) -> None:
        super()._write(topic, *records)  # type: ignore[arg-type]
        if sum(each.records for each in self._topics.values()) > COMMITTED:
            self._producer.flush()
            os.kill(os.getpid(), signal.SIGKILL)


copying._RECORDS_AT_ONCE = AT_ONCE  # type: ignore[misc]
copying._Copier = Killed  # type: ignore[misc]
copying.copy(read_settings(SharedSettings).kafka, sys.argv[1], lambda *_: None)
