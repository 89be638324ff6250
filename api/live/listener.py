"""The pending events of one client: only the latest state of each bar and quote.

A client that keeps up gets each bar as often as workers write it. For one that does not, a later
state of a bar replaces an earlier one. The memory of a listener is bounded: once there are too many
bars, the two newest minutes of each instrument remain, the current one, and the previous one, so
that its final state is not missed; for the others, the client gets an event `gap`.

What is subscribed is awaited until its snapshot is there: nothing of it is sent before.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from api.bars.answers import Gap
from api.http.metrics import LiveMetrics
from api.http.server_state import HEARTBEAT_S
from api.live.answers import LIVE, Form, Frame, gap_frame
from contracts.times import MINUTE_MS

MINUTES_HELD: Final = 2
"""Of each instrument."""
PENDING_MOST: Final = 2 * MINUTES_HELD
"""Bars for each subscription, on average: so the reduction to `MINUTES_HELD` is seldom needed."""

Channel = Literal["bars", "quotes"]


class Subscription(NamedTuple):
    """What a client receives."""

    channel: Channel
    instrument_id: int


Subscriptions = frozenset[Subscription]


class BarEvent(NamedTuple):
    """A state of a minute bar."""

    at: tuple[int, int]
    """instrument and start of the minute in epoch ms"""
    frame: Frame


class QuoteEvent(NamedTuple):
    """The newest quote of an instrument."""

    instrument_id: int
    frame: Frame


class Listener:
    """One client."""

    def __init__(self, form: Form, metrics: LiveMetrics) -> None:
        """Receive events in a form."""
        self.form = form
        self.subscribed: Subscriptions = frozenset()
        self.ready = asyncio.Event()
        """set once a snapshot could be read, or at the end"""
        self.events_sent = 0
        """bars and quotes"""
        self._metrics = metrics
        self._awaited: Subscriptions = frozenset()
        self._bars: dict[tuple[int, int], Frame] = {}
        self._bars_most = 0
        self._quotes: dict[int, Frame] = {}
        self._first: list[Frame] = []
        self._last: list[Frame] = []
        self._gap: Gap | None = None
        self._ended = False
        self._something = asyncio.Event()

    @property
    def is_live(self) -> bool:
        """Whether it has the snapshot of something, and receives its changes."""
        return bool(self.subscribed - self._awaited)

    def watch(self, subscribed: Subscriptions) -> None:
        """Replace the subscriptions."""
        removed = self.subscribed - subscribed
        for at in [at for at in self._bars if ("bars", at[0]) in removed]:
            del self._bars[at]
        for i in [i for i in self._quotes if ("quotes", i) in removed]:
            del self._quotes[i]
        self._awaited = self._awaited - removed | (subscribed - self.subscribed)
        self.subscribed = subscribed
        self._bars_most = PENDING_MOST * len(subscribed)

    def begin(
        self, subscriptions: Subscriptions, bars: Iterable[BarEvent], quotes: Iterable[QuoteEvent]
    ) -> None:
        """Accept the snapshot that begins some subscriptions; their changes follow it.

        A change that arrived since then is not older than the snapshot.
        """
        self._awaited -= subscriptions
        for at, frame in bars:
            self._bars.setdefault(at, frame)
        for instrument_id, frame in quotes:
            self._quotes.setdefault(instrument_id, frame)
        if subscriptions:  # without, there is nothing that the event could be about
            self._last = [LIVE]
        self._something.set()

    def offer_bar(self, bar: BarEvent) -> None:
        """Accept a changed bar. This runs for each listener of each bar: nothing else may."""
        at, frame = bar
        if at in self._bars:
            self._metrics.conflated.inc()
        elif len(self._bars) >= self._bars_most:
            self._reduce()
        self._bars[at] = frame
        if not self._awaited or ("bars", at[0]) not in self._awaited:
            self._something.set()

    def offer_quote(self, quote: QuoteEvent) -> None:
        """Accept a changed quote."""
        instrument_id, frame = quote
        if instrument_id in self._quotes:
            self._metrics.conflated.inc()
        self._quotes[instrument_id] = frame
        if not self._awaited or ("quotes", instrument_id) not in self._awaited:
            self._something.set()

    def interrupt(self, frame: Frame) -> None:
        """Await all snapshots again; accept the event that says that changes are missed."""
        if self.is_live:
            self._first, self._last = [*self._first, frame], []
            self._something.set()
        self._bars.clear()
        self._quotes.clear()
        self._awaited = self.subscribed

    def end(self) -> None:
        """End the stream: nothing more is sent."""
        self._ended = True
        self.ready.set()
        self._something.set()

    async def take(self) -> bytes | None:
        """Return the pending events as soon as there are any, or a heartbeat; None at the end."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._something.wait()
        except TimeoutError:
            return self.form.heartbeat
        self._something.clear()
        if self._ended:
            return None
        events = self._taken()
        self._metrics.events.inc(len(events))
        self.events_sent += len(events)
        before = [] if self._gap is None else [gap_frame(self._gap)]
        frames = [*before, *events, *self._last]
        self._gap, self._last = None, []
        if not frames:  # `watch` left nothing
            return self.form.heartbeat
        return self.form.message([frame[self.form] for frame in frames])

    def _taken(self) -> list[Frame]:
        """Take the pending bars and quotes that may be sent."""
        first, bars, quotes = self._first, self._bars, self._quotes
        self._first, self._bars, self._quotes = [], {}, {}
        if self._awaited:
            self._bars = {at: bars.pop(at) for at in [*bars] if ("bars", at[0]) in self._awaited}
            waiting = [i for i in quotes if ("quotes", i) in self._awaited]
            self._quotes = {i: quotes.pop(i) for i in waiting}
        return [*first, *bars.values(), *quotes.values()]

    def _reduce(self) -> None:
        """Leave out all but the newest minutes of each instrument, which are a gap."""
        n_held: Counter[int] = Counter()
        for at in sorted(self._bars, reverse=True):
            instrument_id, minute_ms = at
            n_held[instrument_id] += 1
            if n_held[instrument_id] > MINUTES_HELD:
                del self._bars[at]
                self._metrics.conflated.inc()
                end_ms = minute_ms + MINUTE_MS
                known = self._gap or Gap(minute_ms, end_ms)
                self._gap = Gap(min(known.start, minute_ms), max(known.end, end_ms))
