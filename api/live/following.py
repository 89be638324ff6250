"""Follows the workers' changes for all listeners of a process, over one subscription.

A new listener first receives changes and then a snapshot, so it misses nothing in between. Its
client may name what it had received before: then the snapshot has what it missed. If the
subscription is lost, each listener is notified once that it is stale; when it is back, each gets a
new snapshot, with what it missed since.
"""

import asyncio
import functools
import logging
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from redis.exceptions import NoPermissionError, RedisError

from api.bars.answers import Gap
from api.http.metrics import LiveMetrics
from api.live.board import Board
from api.live.channels import Channels
from api.live.channels import Subscription as RedisSubscription
from api.live.cursor import UNKNOWN, Cursor, Progress
from api.live.frames import stale_frame
from api.live.listener import Changed, Listener, Snapshot, Subscriptions
from api.live.snapshots import (
    INSTRUMENTS_A_READ,
    INSTRUMENTS_CAUGHT_UP,
    Stored,
    bars_since,
    minutes_read,
    missed_by,
    newest_bars,
    off_of,
    stored_positions,
)
from api.redis.store import Store, StoreUnavailableError
from contracts.changed_bars import decode_changed_bars
from runtime.redis.stores import UNAVAILABLE
from runtime.topology import TopologyError

POSITIONS_EVERY_S: Final = 1.0
"""The workers' interval between flushes."""
_RETRY_FROM_S: Final = 0.05
_RETRY_TO_S: Final = 1.0
_LOST: Final[tuple[type[Exception], ...]] = (RedisError, *UNAVAILABLE, OSError, TopologyError)
"""Redis is down, or denies access, or has no topics yet: worth a retry."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class _Newcomer(NamedTuple):
    """A listener that waits for the snapshot of some of its subscriptions."""

    listener: Listener
    subscriptions: Subscriptions
    since: Cursor | None

    def bars(self) -> set[int]:
        return {i for channel, i in self.subscriptions if channel == "bars"}


class Follower:
    """The subscription of one process, and the snapshots of its listeners."""

    def __init__(
        self,
        url: str,
        store: Store,
        listeners: Collection[Listener],
        metrics: LiveMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        """Serve `listeners`, which come and go."""
        self.board = Board(now_ms)
        self.trouble: Exception | None = None
        """why there is no subscription"""
        self._store = store
        self._listeners = listeners
        self._metrics = metrics
        self._now_ms = now_ms
        self._channels = Channels(url)
        self._progress: Progress | None = None
        self._newcomers: list[_Newcomer] = []
        self._came = asyncio.Event()
        self._returned: asyncio.Queue[_Newcomer] = asyncio.Queue()
        self._retry_s = _RETRY_FROM_S

    def cursor(self) -> Cursor | None:
        """Return what a client without pending events has received."""
        return None if self._progress is None else self._progress.cursor

    def welcome(
        self, listener: Listener, subscriptions: Subscriptions, since: Cursor | None
    ) -> None:
        """Give a listener the snapshot of some of its subscriptions, as soon as it can be read."""
        self._newcomers.append(_Newcomer(listener, subscriptions, since))
        self._came.set()

    async def run(self) -> None:
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
        channels = {self._store.keys.bars_changed(p): p for p in range(topology.quotes)}
        async with self._channels.subscribed(list(channels)) as subscriptions:
            stored = await self._store.answer(stored_positions(self._store))
            self._progress = Progress(stored, self._now_ms())
            self._retry_s, self.trouble = _RETRY_FROM_S, None
            self.board.forget_bars()
            self._returned = asyncio.Queue()
            self._newcomers = [
                _Newcomer(each, each.subscribed, each.since) for each in self._listeners
            ]
            self._came.set()
            async with asyncio.TaskGroup() as tasks:
                for subscription in subscriptions:
                    tasks.create_task(self._take_from(subscription, channels, self._progress))
                tasks.create_task(self._follow_positions(self._progress))
                tasks.create_task(self._welcome())
                tasks.create_task(self._catch_up(topology.quotes))

    async def _take_from(
        self, subscription: RedisSubscription, channels: dict[str, int], progress: Progress
    ) -> None:
        async for channel, message in subscription.messages():
            bars = decode_changed_bars(message)
            partition = channels[channel]
            if bars and progress.is_behind(partition):
                progress.note_received(partition, off_of(bars[0].value))
            if self._listeners:
                self.board.take(bars)
            # Buffered messages are read without waiting: let other tasks run in between.
            await asyncio.sleep(0)

    async def _follow_positions(self, progress: Progress) -> None:
        while True:
            await asyncio.sleep(POSITIONS_EVERY_S)
            now_ms = self._now_ms()
            try:
                stored = await self._store.answer(stored_positions(self._store))
            except StoreUnavailableError:
                continue
            progress.note_stored(stored, now_ms)

    async def _welcome(self) -> None:
        """Give new listeners their snapshots: one read serves all that came during the last."""
        while True:
            await self._came.wait()
            self._came.clear()
            newcomers, self._newcomers = self._newcomers, []
            try:
                await self._read({i for each in newcomers for _, i in each.subscriptions})
            except StoreUnavailableError as error:
                self.trouble = error
                self._newcomers += newcomers
                self._came.set()
                await asyncio.sleep(_RETRY_FROM_S)
                continue
            for newcomer in newcomers:
                newcomer.listener.ready.set()
                if newcomer.since is not None and newcomer.bars():
                    self._returned.put_nowait(newcomer)
                else:
                    self._begin(newcomer, [], None)

    async def _read(self, instruments: Iterable[int]) -> None:
        for some in _parts(list(instruments), INSTRUMENTS_A_READ):
            self.board.take_snapshot(await self._store.answer(newest_bars(self._store, some)))

    async def _catch_up(self, partitions: int) -> None:
        """Give returning clients what they missed: one read serves several."""
        while True:
            first = await self._returned.get()
            newcomers, instruments = [first], first.bars()
            while not self._returned.empty() and len(instruments) < INSTRUMENTS_A_READ:
                newcomers.append(self._returned.get_nowait())
                instruments |= newcomers[-1].bars()
            since_each = [(each.since or UNKNOWN).of(partitions) for each in newcomers]
            minutes_ms = minutes_read(self._now_ms())
            since = functools.reduce(Cursor.earlier, since_each)
            changed = await self._changed(list(instruments), minutes_ms, since)
            for newcomer, its_since in zip(newcomers, since_each, strict=True):
                of_its = (one for i in newcomer.bars() for one in changed[i])
                self._begin(newcomer, *missed_by(of_its, its_since, minutes_ms))
                await asyncio.sleep(0)

    async def _changed(
        self, instruments: Sequence[int], minutes_ms: range, since: Cursor
    ) -> dict[int, list[Changed]]:
        """Return the bars of each instrument that have changed since then."""
        changed: dict[int, list[Changed]] = {i: [] for i in instruments}
        for some in _parts(instruments, INSTRUMENTS_CAUGHT_UP):
            found = await self._patiently(some, minutes_ms, since)
            events = self.board.events(one.bar for one in found)
            for (partition, _), event in zip(found, events, strict=True):
                changed[event.at[0]].append(Changed(partition, event))
        return changed

    async def _patiently(
        self, instruments: Sequence[int], minutes_ms: range, since: Cursor
    ) -> Sequence[Stored]:
        """Read changed bars, however often it takes: their listeners wait."""
        while True:
            try:
                read = bars_since(self._store, instruments, minutes_ms, since)
                return await self._store.answer(read)
            except StoreUnavailableError:
                await asyncio.sleep(_RETRY_FROM_S)

    def _begin(self, newcomer: _Newcomer, missed: Sequence[Changed], gap: Gap | None) -> None:
        listener, subscriptions, _ = newcomer
        if listener in self._listeners:  # else it left during the read
            still, board = subscriptions & listener.subscribed, self.board
            bars, quotes = board.newest_bars(still), board.newest_quotes(still)
            listener.begin(still, Snapshot(bars, quotes, missed, gap))

    def _interrupt(self, error: Exception) -> None:
        """Notify listeners with a snapshot that they miss changes from here on."""
        if isinstance(error, NoPermissionError) and str(error) != str(self.trouble):
            _log.error("no live bars: %s", error)
        self.trouble = error
        n_live = sum(listener.is_live for listener in self._listeners)
        if n_live:
            self._metrics.interruptions.inc()
            _log.warning("%d streams are stale: %s", n_live, error)
        for listener in self._listeners:
            listener.interrupt(stale_frame("redis-away"))


def _parts(all_of_them: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(all_of_them), most):
        yield all_of_them[first : first + most]
