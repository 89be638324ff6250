"""The live bars and quotes of one process: listeners come and go.

The subscription (`following`) exists while there are listeners.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Final

from api.http.limits import PerClient
from api.http.metrics import LiveMetrics
from api.http.problems import NOT_READY, OVERLOADED, TOO_MANY_STREAMS, Problem
from api.live.answers import Form
from api.live.listener import Listener, Subscriptions
from api.live.reading import Follower
from api.redis.store import READ_DEADLINE_S, Store, StoreUnavailableError
from runtime.topology import TopologyError

MAX_CLIENTS: Final = 5_000
FULL: Final = f"{MAX_CLIENTS} streams are open already: try another process, or again in a second"
STOPPING: Final = "The server is stopping: try another one"
LINGER_S: Final = 10.0
"""How long the subscription outlives its last listener, so that the next one starts at once."""

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
        self._clients = PerClient(
            streams_per_client,
            lambda name: Problem(
                TOO_MANY_STREAMS,
                f"{streams_per_client} streams of {name} are open already: close one first",
            ),
        )
        self._metrics = metrics
        self._listeners: dict[Listener, Collection[str]] = {}
        """Each with its client's names."""
        self._follower = Follower(url, store, self._listeners.keys(), metrics, now_ms)
        self._board = self._follower.board
        self._following: asyncio.Task[None] | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._closed = False

    async def listen(
        self,
        form: Form,
        subscribed: Subscriptions,
        clients: Collection[str],
    ) -> Listener:
        """Return a listener whose snapshot can be read; pass it to `leave` at the end.

        Args:
            form: in which it receives events.
            subscribed: what it receives.
            clients: the identities that it counts for, such as address and key.

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
        listener = Listener(form, self._metrics)
        self._listeners[listener] = clients
        self._metrics.clients.set(len(self._listeners))
        self.change(listener, subscribed)
        self._follow()
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                await listener.ready.wait()
        except TimeoutError:
            self.leave(listener)
            raise self._why() from None
        except BaseException:
            self.leave(listener)
            raise
        return listener

    def change(self, listener: Listener, subscribed: Subscriptions) -> None:
        """Give a listener other subscriptions; the snapshot of those added follows, and `live`."""
        if listener not in self._listeners:  # it has ended
            return
        added = subscribed - listener.subscribed
        self._board.remove(listener, listener.subscribed - subscribed)
        self._board.add(listener, added)
        listener.watch(subscribed)
        if added or not listener.ready.is_set():
            self._follower.welcome(listener, added)

    def leave(self, listener: Listener) -> None:
        """Remove a listener; after the last one, the subscription ends a little later."""
        if listener not in self._listeners:
            return
        self._clients.leave(self._listeners.pop(listener))
        self._board.remove(listener, listener.subscribed)
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

    def _follow(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._following is None:
            self._following = asyncio.create_task(self._follower.run(), name="live-bars")
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

    def _why(self) -> Exception:
        """Return the reason why there is no snapshot."""
        trouble = self._follower.trouble
        if isinstance(trouble, TopologyError):
            return trouble
        return StoreUnavailableError(str(trouble or f"no answer in {READ_DEADLINE_S:g} s"))
