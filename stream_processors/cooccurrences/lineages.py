"""Checks whether changes were computed from the histories in Redis."""

import structlog

from contracts.keyspace import LINEAGE_FIELD
from contracts.topics import INTERACTIONS
from stream_processors.store.store import Store

log = structlog.get_logger()


class Lineages:
    """The lineages of the source partitions, as far as messages named them.

    Redis has a lineage before the first message that names it is published. So a lineage missing by
    then, from another namespace on the same broker or a store that has lost its data, is
    permanently foreign, and is looked up once.
    """

    def __init__(self, store: Store) -> None:
        """Take the store that has the histories."""
        self._store = store
        self._ours: dict[int, int] = {}
        self._foreign: set[tuple[int, int]] = set()

    async def is_ours(self, source: int, lineage: int) -> bool:
        """Return whether the histories of a source partition have a lineage."""
        if self._ours.get(source) == lineage:
            return True
        if (source, lineage) in self._foreign:
            return False
        position = await self._store.position(INTERACTIONS, source)
        if position.get(LINEAGE_FIELD) != str(lineage):
            self._foreign.add((source, lineage))
            log.warning(
                "changes of histories other than those in Redis are skipped",
                source=source,
                lineage=lineage,
                in_redis=position.get(LINEAGE_FIELD),
            )
            return False
        if source in self._ours:
            self._foreign.add((source, self._ours[source]))
        self._ours[source] = lineage
        return True
