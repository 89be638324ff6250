"""The movers of the last complete minute, refreshed once a minute.

Reading the ends of the windows of 50,000 instruments takes this process 0.8 s and Redis 0.6 s:
1.4 % and 1 % of a core. Following the channel of changed bars would take 1.3 s a minute for
decoding alone, and a new reader would have no prices.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec
import numpy as np

from api.bars.movers import (
    DIRECTIONS,
    WINDOWS,
    Direction,
    Mover,
    Movers,
    MoversWindow,
    Ranked,
    Shown,
    fields_of,
    first_present,
    ranked,
)
from api.http.filters import Filter
from api.http.kept import KeptReplies
from api.http.named import Names
from api.http.replies import NOW, Reply, reply
from api.redis.following import following
from api.redis.reading import Read
from api.redis.store import Store
from contracts.partitioning import instrument_partition
from contracts.times import MINUTE_MS, minute_start

SETTLED_MS: Final = 3_000
"""Time after the end of a minute for its last quotes to reach Redis."""
RETRY_S: Final = 1.0
INSTRUMENTS_AT_ONCE: Final = 100
"""They take Redis about 1 ms."""
_PAUSE_S: Final = 0.005


class _Prices(msgspec.Struct, frozen=True, gc=False):
    """The fields of a `BarValue` that are needed."""

    o: float
    c: float


_prices = msgspec.json.Decoder(_Prices)


class Moving:
    """Knows which instruments of a catalog moved most."""

    def __init__(
        self,
        store: Store,
        instruments: Callable[[], Collection[int]],
        shown: Callable[[Filter], Shown | None],
        names: Names,
        now_ms: Callable[[], int],
    ) -> None:
        """Start without any movers.

        Args:
            store: where bars are.
            instruments: returns those to rank.
            shown: returns which instruments meet a filter's conditions; None: all do.
            names: of instruments.
            now_ms: the clock.
        """
        self._store = store
        self._instruments = instruments
        self._shown = shown
        self._now_ms = now_ms
        self._ranked = Ranked()
        self._names = names
        self._replies = KeptReplies()

    def movers(
        self,
        window: MoversWindow,
        direction: Direction,
        n: int,
        *,
        names: bool,
        **filters: frozenset[str],
    ) -> Read[Reply]:
        """Answer with the instruments that moved most."""
        yield from ()  # everything is in memory
        known, wanted = self._ranked, Filter(**filters)

        def make() -> Reply:
            first = known.first(window, direction, n, self._shown(wanted))
            named = self._names.with_names(first, names=names)
            return reply(Movers(window, direction, known.as_of_ms, named), NOW)

        asked = window, direction, n, wanted, names
        return self._replies.of((known, self._names.version), asked, make)

    def following(self) -> AbstractAsyncContextManager[None]:
        """Keep up with the clock for the block."""
        return following("movers", self.refresh, self._wait_s)

    def _wait_s(self) -> float:
        """Return how long the movers are valid: until the next minute is over and settled."""
        now_ms, as_of_ms = self._now_ms(), self._ranked.as_of_ms
        if as_of_ms is None:
            return RETRY_S
        return max((as_of_ms + MINUTE_MS + SETTLED_MS - now_ms) / 1000, RETRY_S)

    async def refresh(self) -> None:
        """Read the prices at both ends of the windows that end with the last complete minute.

        Raises:
            StoreUnavailableError, ErrorAnswer, TopologyError: they cannot be read at present.
        """
        end_ms = minute_start(self._now_ms() - SETTLED_MS)
        ids = sorted(self._instruments())
        prices = np.full((len(ids), 1 + len(WINDOWS)), np.nan)
        for start in range(0, len(ids), INSTRUMENTS_AT_ONCE):
            some = ids[start : start + INSTRUMENTS_AT_ONCE]
            for place, values in enumerate(await self._store.answer(self._read(some, end_ms))):
                prices[start + place] = _ends(values)
            await asyncio.sleep(_PAUSE_S)
        movers: dict[tuple[MoversWindow, Direction], Sequence[Mover]] = {}
        for place, window in enumerate(WINDOWS, 1):
            of_window = np.array(ids, np.int64), prices[:, place], prices[:, 0]
            both = await asyncio.to_thread(ranked, *of_window)  # 15 ms for 50,000
            movers |= {(window, way): of for way, of in zip(DIRECTIONS, both, strict=True)}
        self._ranked = Ranked(end_ms if ids else None, movers)

    def _read(self, ids: Sequence[int], end_ms: int) -> Read[Sequence[Sequence[bytes | None]]]:
        topology = yield from self._store.topology()
        fields = fields_of(end_ms)
        keys = (
            self._store.keys.bars(instrument_partition(item, topology.quotes), item) for item in ids
        )
        return (yield [("HMGET", key, *fields) for key in keys])


def _ends(values: Sequence[bytes | None]) -> list[float]:
    """Return the close, and the open of each window; NaN where there is none."""
    last, *firsts = first_present(values)
    close = np.nan if last is None else _prices.decode(last).c
    return [close, *(np.nan if first is None else _prices.decode(first).o for first in firsts)]
