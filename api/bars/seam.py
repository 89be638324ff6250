"""Where the bars that Redis retains begin: what lies before is the archive's.

Redis retains the minutes of an instrument that are less than `BARS_RETENTION_MINUTES` before its
newest one, by event time. The setting is a worker's; it stands in the position of a partition.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from api.bars.aggregation import MINUTE_MS
from api.bars.minutes import Held
from api.redis.reading import Read
from api.redis.store import Store
from contracts.keyspace import FOLDING_FIELD
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES

_AGAIN_MS: Final = 60_000
"""After which it is asked for again: an emptied namespace may be filled with another retention.

One that is new has bars before it has a position: then it is asked for each time.
"""


class _Folding(msgspec.Struct):
    bars_retention_minutes: int


_folding = msgspec.json.Decoder(_Folding)


class Seam:
    """The seam of one namespace, by one clock."""

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        self._before_newest_ms = -MINUTE_MS
        """how long before the newest minute of an instrument the first one starts that is retained;
        what is not known is taken for nothing: then Redis has what it holds, from the first on"""
        self._ask_at_ms = 0

    def retains(self, first_ms: int, held: Held, now_ms: int) -> bool:
        """Whether Redis is known to have all minutes from `first_ms` on."""
        newest_ms = held.newest_ms
        return (
            newest_ms is not None
            and first_ms >= newest_ms - self._before_newest_ms
            and now_ms < self._ask_at_ms
        )

    def retained_from(self, instrument_id: int, newest_ms: int, held: Held) -> Read[int]:
        """Return from when on Redis has all minutes that there were, epoch ms.

        Args:
            instrument_id: of which the minutes are.
            newest_ms: start of its newest minute, read with the others or after them.
            held: the minutes that were asked for.
        """
        if self._now_ms() >= self._ask_at_ms:
            yield from self._ask(instrument_id)
        retained_ms = newest_ms - self._before_newest_ms
        return min(retained_ms, held.minutes[0][0]) if held.minutes else retained_ms

    def _ask(self, instrument_id: int) -> Read[None]:
        topology = yield from self._store.topology()
        partition = instrument_partition(instrument_id, topology.quotes)
        (found,) = yield [("HGET", self._store.keys.position(QUOTES, partition), FOLDING_FIELD)]
        retained = _folding.decode(found).bars_retention_minutes if found else 0
        self._before_newest_ms = (retained - 1) * MINUTE_MS
        if found:
            self._ask_at_ms = self._now_ms() + _AGAIN_MS
