"""The live bars of one process: listeners come and go, and one subscription serves them all.

The subscription exists while there are listeners. A new listener first receives changes and then a
snapshot, so it misses nothing in between. If the subscription is lost, each listener is notified
once that its bars are stale; when it is back, each gets a new snapshot.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from typing import Final

from redis.exceptions import NoPermissionError, RedisError

from api.http.limits import PerClient
from api.http.metrics import LiveMetrics
from api.http.problems import NOT_READY, OVERLOADED, TOO_MANY_STREAMS, Problem
from api.live.board import Board
from api.live.channels import Channels, Subscription
from api.live.frames import stale_frame
from api.live.listener import Listener
from api.live.snapshots import (
    INSTRUMENTS_A_READ,
    INSTRUMENTS_CAUGHT_UP,
    Missed,
    bars_since,
    missed_since,
    newest_bars,
)
from api.redis.store import READ_DEADLINE_S, Store, StoreUnavailableError
from contracts.changed_bars import decode_changed_bars
from runtime.redis.stores import UNAVAILABLE
from runtime.topology import TopologyError

MAX_CLIENTS: Final = 5_000
FULL: Final = f"{MAX_CLIENTS} streams are open already: try another process, or again in a second"
STOPPING: Final = "The server is stopping: try another one"
LINGER_S: Final = 10.0
"""How long the subscription outlives its last listener, so that the next one starts at once."""
_RETRY_FROM_S: Final = 0.05
_RETRY_TO_S: Final = 1.0
_LOST: Final[tuple[type[Exception], ...]] = (RedisError, *UNAVAILABLE, OSError, TopologyError)
"""Redis is down, or denies access, or has no topics yet: worth a retry."""

_Newcomer = tuple[Listener, frozenset[int]]
"""A listener, and those of its instruments whose snapshot it waits for."""

_log = logging.getLogger(__name__)


class LiveBars:
    """The listeners, and the subscription that keeps them up to date."""

    def __init__(
        self,
        url: str,
        store: Store,
        metrics: LiveMetrics,
        now_ms: Callable[[], int],
        streams_per_client: int,
    ) -> None:
        self._now_ms = now_ms
        self._clients = PerClient(
            streams_per_client,
            lambda name: Problem(
                TOO_MANY_STREAMS,
                f"{streams_per_client} streams of {name} are open already: close one first",
            ),
        )
        self._store = store
        self._metrics = metrics
        self._channels = Channels(url)
        self._board = Board(now_ms)
        self._listeners: dict[Listener, Collection[str]] = {}
        """Each with its client's names."""
        self._newcomers: list[_Newcomer] = []
        self._came = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._retry_s = _RETRY_FROM_S
        self._trouble: Exception | None = None
        self._closed = False

    async def listen(
        self, instruments: frozenset[int], clients: Collection[str], last_id: int | None = None
    ) -> Listener:
        """Return a listener that has its snapshot; pass it to `leave` at the end.

        Args:
            instruments: whose bars it receives.
            clients: the identities that it counts for, such as address and key.
            last_id: of the last event that its client received before, if any: it then also gets
                the bars that have changed since.

        Raises:
            Problem: one of `clients` has as many as it may have, or there are `MAX_CLIENTS`
                listeners already, or the server is stopping.
            StoreUnavailableError, TopologyError: no snapshot was available within
            `READ_DEADLINE_S`.
        """
        if self._closed:
            raise Problem(NOT_READY, STOPPING)
        if len(self._listeners) >= MAX_CLIENTS:
            raise Problem(OVERLOADED, FULL)
        self._clients.enter(clients)
        listener = Listener(instruments, self._metrics)
        self._join(listener, clients)
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                await listener.begun()
            if last_id is not None:
                missed = missed_since(last_id, len(instruments), self._now_ms())
                await self._catch_up(listener, missed)
        except TimeoutError:
            self.leave(listener)
            raise self._why() from None
        except BaseException:
            self.leave(listener)
            raise
        return listener

    def change(self, listener: Listener, instruments: frozenset[int]) -> None:
        """Give a listener other instruments; the newest bars of those added follow, and `live`."""
        if listener not in self._listeners:  # it has ended
            return
        added, removed = instruments - listener.instruments, listener.instruments - instruments
        self._board.remove(listener, removed)
        self._board.add(listener, added)
        listener.watch(instruments)
        if added:
            self._newcomers.append((listener, added))
            self._came.set()

    def leave(self, listener: Listener) -> None:
        """Remove a listener; after the last one, the subscription ends a little later."""
        if listener not in self._listeners:
            return
        self._clients.leave(self._listeners.pop(listener))
        self._board.remove(listener, listener.instruments)
        self._metrics.clients.set(len(self._listeners))
        if not self._listeners:
            self._resting = asyncio.get_running_loop().call_later(LINGER_S, self._rest)

    def drop(self, listener: Listener) -> None:
        """Remove a listener that no longer reads."""
        self._metrics.dropped.inc()
        self.leave(listener)

    def close(self) -> None:
        """End all streams at once, and start no more."""
        self._closed = True
        for listener in self._listeners:
            listener.end()

    async def aclose(self) -> None:
        """Close, and return when the subscription has ended."""
        self.close()
        if self._resting is not None:
            self._resting.cancel()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    def _join(self, listener: Listener, clients: Collection[str]) -> None:
        self._listeners[listener] = clients
        self._board.add(listener, listener.instruments)
        self._metrics.clients.set(len(self._listeners))
        self._newcomers.append((listener, listener.instruments))
        self._came.set()
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="live-bars")
            self._following.add_done_callback(self._ended)

    def _rest(self) -> None:
        if self._following is not None and not self._listeners:
            self._following.cancel()
            self._following = None

    def _ended(self, following: asyncio.Task[None]) -> None:
        """End all streams after an unexpected error of the subscription."""
        if following.cancelled():
            return
        _log.error("live bars failed", exc_info=following.exception())
        self._following = None
        for listener in self._listeners:
            listener.end()

    async def _follow(self) -> None:
        """Subscribe, and resubscribe whenever the subscription is lost."""
        while True:
            try:
                await self._be_subscribed()
            except* _LOST as lost:
                self._interrupt(lost.exceptions[0])
            await asyncio.sleep(self._retry_s * random.uniform(0.5, 1))  # noqa: S311 (spreads retries)
            self._retry_s = min(2 * self._retry_s, _RETRY_TO_S)

    async def _be_subscribed(self) -> None:
        """Pass on changes until the subscription is lost."""
        topology = await self._store.answer(self._store.read_topology())
        keys = self._store.keys
        channels = [keys.bars_changed(p) for p in range(topology.quotes)]
        async with (
            self._channels.subscribed(channels) as subscriptions,
            asyncio.TaskGroup() as tasks,
        ):
            self._retry_s, self._trouble = _RETRY_FROM_S, None
            self._board.forget_bars()
            self._newcomers = [(each, each.instruments) for each in self._listeners]
            self._came.set()
            for subscription in subscriptions:
                tasks.create_task(self._take_from(subscription))
            tasks.create_task(self._welcome())

    async def _take_from(self, subscription: Subscription) -> None:
        async for _, message in subscription.messages():
            if self._listeners:
                self._board.take(decode_changed_bars(message))
            # Buffered messages are read without waiting: let other tasks run in between.
            await asyncio.sleep(0)

    async def _welcome(self) -> None:
        """Give new listeners their snapshots: one read serves all that came during the last."""
        while True:
            await self._came.wait()
            self._came.clear()
            newcomers, self._newcomers = self._newcomers, []
            try:
                await self._read({i for _, instruments in newcomers for i in instruments})
            except StoreUnavailableError as error:
                self._trouble = error
                self._newcomers += newcomers
                self._came.set()
                await asyncio.sleep(_RETRY_FROM_S)
                continue
            for listener, instruments in newcomers:
                if listener in self._listeners:  # else it left during the read
                    still = instruments & listener.instruments
                    listener.begin(self._board.newest(still), self._board.live())

    async def _read(self, instruments: Collection[int]) -> None:
        ids = list(instruments)
        for first in range(0, len(ids), INSTRUMENTS_A_READ):
            some = ids[first : first + INSTRUMENTS_A_READ]
            self._board.take_snapshot(await self._store.answer(newest_bars(self._store, some)))

    async def _catch_up(self, listener: Listener, missed: Missed) -> None:
        """Give a listener the bars that have changed since the last event its client received."""
        ids = list(listener.instruments)
        for first in range(0, len(ids), INSTRUMENTS_CAUGHT_UP):
            some = ids[first : first + INSTRUMENTS_CAUGHT_UP]
            bars = await self._store.answer(bars_since(self._store, some, missed.minutes_ms))
            listener.catch_up(self._board.missed(bars, missed.since_ms))

    def _interrupt(self, error: Exception) -> None:
        """Notify listeners with a snapshot that they miss changes from here on."""
        if isinstance(error, NoPermissionError) and str(error) != str(self._trouble):
            _log.error("no live bars: %s", error)
        self._trouble = error
        live = [listener for listener in self._listeners if listener.is_live]
        if live:
            self._metrics.interruptions.inc()
            _log.warning("%d streams of bars are stale: %s", len(live), error)
        for listener in live:
            listener.interrupt(stale_frame("redis-away"))

    def _why(self) -> Exception:
        """Return the reason why there is no snapshot."""
        if isinstance(self._trouble, TopologyError):
            return self._trouble
        return StoreUnavailableError(str(self._trouble or f"no answer in {READ_DEADLINE_S:g} s"))
