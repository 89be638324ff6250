"""What a round notes about a table's maintenance, and the archive's programs show.

It is in the table's properties, as rounds may be jobs that are gone afterwards.
"""

from typing import Final

from pyiceberg.table import Table

from archive import metrics
from archive.stored_table import StoredTable
from contracts.archive import ArchiveTable
from runtime.archive.catalog import in_races
from runtime.archive.tables import MAINTAINED_PROPERTY, maintained_s

_PENDING_PROPERTY: Final = "tickrec.erasures-pending"
"""Of how many erased users there were rows in some file."""
_ERASED_PROPERTY: Final = "tickrec.erased-ms"
"""When a round last found none."""


def note(stored: StoredTable, now_s: float, pending: int | None) -> None:
    """Note that a table was maintained as a whole.

    Args:
        stored: the table.
        now_s: when that began, epoch s.
        pending: of how many erased users there are still rows in files; None: it has no users.
    """
    now_ms = str(int(now_s * 1_000))
    properties = {MAINTAINED_PROPERTY: now_ms}
    if pending is not None:
        properties[_PENDING_PROPERTY] = str(pending)
    if pending == 0:
        properties[_ERASED_PROPERTY] = now_ms
    in_races(_set, stored, properties)


def show(found: Table, table: ArchiveTable) -> None:
    """Show as metrics what a table says."""
    metrics.MAINTAINED_TIMESTAMP.labels(table.name).set(maintained_s(found))
    if (pending := found.properties.get(_PENDING_PROPERTY)) is not None:
        metrics.ERASURES_PENDING.labels(table.name).set(int(pending))
    if done_s := erased_s(found):
        metrics.ERASED_TIMESTAMP.labels(table.name).set(done_s)


def erased_s(found: Table) -> float:
    """Return when a round last found no rows of erased users, epoch s; 0 if none ever did."""
    return int(found.properties.get(_ERASED_PROPERTY, 0)) / 1_000


def _set(stored: StoredTable, properties: dict[str, str]) -> None:
    found = stored.load()
    with found.transaction() as transaction:
        transaction.set_properties(properties)
    show(found, stored.table)
