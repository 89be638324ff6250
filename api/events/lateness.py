"""Which quotes will make no bar: their minute is older than what is retained of their instrument.

Kafka keeps them, and an archive has them; the workers count and drop them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from api.redis.reading import Read
from api.redis.store import Store, StoreUnavailableError
from contracts.bars import retained_before_newest_ms
from contracts.keyspace import FOLDING_FIELD, NEWEST_FIELD
from contracts.messages import Interaction, Quote
from contracts.partitioning import instrument_partition
from contracts.times import MINUTE_MS, minute_of, minute_start
from contracts.topics import QUOTES
from runtime.topology import TopologyError

LIVE_MS: Final = 2 * MINUTE_MS
"""Quotes younger than this are not checked, so that those of a live feed cost no read."""
_AT_ONCE: Final = 250
"""Instruments read in one round, so that other requests run in between."""


@dataclass(frozen=True, slots=True)
class Late:
    """The late quotes of a request."""

    count: int | None
    """None: Redis did not answer"""
    reason: str | None = None


class Folded(NamedTuple):
    """How far an instrument is folded."""

    newest_ms: int
    """start of its newest minute; 0: it has none"""
    reach_ms: int
    """how far before that its first retained minute starts"""


def late_of(quotes: Iterable[Quote], folded: Mapping[int, Folded]) -> Late:
    """Return how many quotes of a request are older than what is retained when they are folded.

    Args:
        quotes: in the order in which they are published.
        folded: of the instruments that are checked.
    """
    count, reason = 0, None
    newest = {instrument_id: newest_ms for instrument_id, (newest_ms, _) in folded.items()}
    for quote in quotes:
        if (id_ := quote.instrument_id) not in folded:
            continue
        minute, retained = minute_start(quote.ts), newest[id_] - folded[id_].reach_ms
        if minute < retained:
            count += 1
            reason = reason or _reason(id_, retained)
        newest[id_] = max(newest[id_], minute)
    return Late(count, reason)


class Lateness:
    """Counts late quotes by what the workers have folded."""

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms

    async def of(self, messages: Iterable[Quote | Interaction]) -> Late:
        """Return how many of a request's messages are quotes that will make no bar, and why."""
        quotes = [message for message in messages if isinstance(message, Quote)]
        live_ms = self._now_ms() - LIVE_MS
        old = {quote.instrument_id for quote in quotes if quote.ts < live_ms}
        if not old:
            return Late(0)
        try:
            folded = await self._store.answer(self._folded(old))
        except (StoreUnavailableError, TopologyError):
            return Late(None)
        return late_of(quotes, folded)

    def _folded(self, instrument_ids: Collection[int]) -> Read[dict[int, Folded]]:
        """Return how far each instrument is folded whose partition has bars."""
        topology = yield from self._store.topology()
        keys, ids, found = self._store.keys, [*instrument_ids], dict[int, Folded]()
        partitions = [instrument_partition(id_, topology.quotes) for id_ in ids]
        used = sorted(set(partitions))
        stored = yield [("HGET", keys.position(QUOTES, p), FOLDING_FIELD) for p in used]
        folding = dict(zip(used, stored, strict=True))
        for first in range(0, len(ids), _AT_ONCE):
            some = range(first, min(first + _AT_ONCE, len(ids)))
            newest = yield [("HGET", keys.bars(partitions[n], ids[n]), NEWEST_FIELD) for n in some]
            for n, minute in zip(some, newest, strict=True):
                its = folding[partitions[n]]
                if its is not None:
                    newest_ms = 0 if minute is None else minute_of(minute)
                    found[ids[n]] = Folded(newest_ms, retained_before_newest_ms(its))
        return found


def _reason(instrument_id: int, retained_ms: int) -> str:
    since = datetime.fromtimestamp(retained_ms / 1000, UTC)
    return (
        f"bars of instrument {instrument_id} are retained from {since:%Y-%m-%dT%H:%MZ} on, "
        "BARS_RETENTION_MINUTES before its newest quote; older quotes make no bar"
    )
