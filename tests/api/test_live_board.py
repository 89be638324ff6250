"""Merging and holding back live bars and quotes, without a server."""

import asyncio
from collections import deque
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from prometheus_client import CollectorRegistry

from api.http.metrics import LiveMetrics
from api.live.answers import SERVER_SENT, stale_frame
from api.live.board import Board
from api.live.listener import Listener, Subscription, Subscriptions
from contracts.bar_messages import ChangedBar
from tests.examples import examples

from .conftest import NOW_MS, RUNNING_S
from .streaming import value

INSTRUMENTS = st.integers(1, 2)
MINUTES = st.integers(0, 9)
SUBSCRIPTIONS = st.frozensets(
    st.builds(Subscription, st.sampled_from(["bars", "quotes"]), INSTRUMENTS),
    min_size=1,
    max_size=2,
)

Place = tuple[int, int]
"""An instrument and the number of a minute."""


def changed(place: Place, n: int) -> ChangedBar:
    instrument_id, minute = place
    encoded = msgspec.json.encode(value(n)).decode()
    return ChangedBar(instrument_id, RUNNING_S + 60 * minute, encoded)


def minute_at(ms: int) -> int:
    return (ms // 1000 - RUNNING_S) // 60


def events_in(said: bytes) -> list[tuple[str, Any]]:
    """Return the events of a message, without comments."""
    events = [event.decode().split("\n") for event in said.split(b"\n\n") if event[:1] == b"e"]
    return [(kind[7:], msgspec.json.decode(data[6:])) for kind, data in events]


class Streams(RuleBasedStateMachine):
    """A store whose bars change, and a client that may be slow, subscribe, or lose the store.

    Each state of a bar has a number of its own, which is its quote's price and its offset, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.board = Board(lambda: NOW_MS)
        self.listener = Listener(SERVER_SENT["number"], LiveMetrics(CollectorRegistry()))
        self.n = 0
        self.stored: dict[Place, int] = {}
        self.messages = deque[tuple[Place, int]]()
        self.awaited: Subscriptions = frozenset()
        self.read: list[tuple[Place, int]] | None = None
        """a snapshot of what is awaited, until the client begins with it"""
        self.sent = set[int]()
        """the states that were in messages to the client since the last interruption"""
        self.due: dict[Place, int] = {}
        """the last state in a message of each bar that the client is subscribed to"""
        self.bars: dict[Place, int] = {}
        self.quotes: dict[int, int] = {}
        self.gaps = set[int]()

    @initialize(added=SUBSCRIPTIONS)
    def subscribe_first(self, added: Subscriptions) -> None:
        self.subscribe(added)

    @rule(instrument_id=INSTRUMENTS, minutes=st.lists(MINUTES, min_size=1, max_size=25))
    def write(self, instrument_id: int, minutes: list[int]) -> None:
        for minute in minutes:
            self.n += 1
            self.stored[instrument_id, minute] = self.n
            self.messages.append(((instrument_id, minute), self.n))

    @precondition(lambda self: self.messages)
    @rule(most=st.integers(1, 40))
    def deliver(self, most: int) -> None:
        for _ in range(min(most, len(self.messages))):
            place, n = self.messages.popleft()
            self.board.take([changed(place, n)])
            if ("bars", place[0]) in self.listener.subscribed:
                self.sent.add(n)
                self.due[place] = n

    @rule(added=SUBSCRIPTIONS)
    def subscribe(self, added: Subscriptions) -> None:
        added -= self.listener.subscribed
        self.board.add(self.listener, added)
        self.listener.watch(self.listener.subscribed | added)
        self.awaited, self.read = self.awaited | added, None

    @rule(removed=SUBSCRIPTIONS)
    def unsubscribe(self, removed: Subscriptions) -> None:
        removed &= self.listener.subscribed
        self.board.remove(self.listener, removed)
        self.listener.watch(self.listener.subscribed - removed)
        self.awaited -= removed
        bars = {instrument_id for channel, instrument_id in removed if channel == "bars"}
        self.due = {place: n for place, n in self.due.items() if place[0] not in bars}
        self.bars = {place: n for place, n in self.bars.items() if place[0] not in bars}
        for channel, instrument_id in removed:
            if channel == "quotes":
                self.quotes.pop(instrument_id, None)
        watched = {instrument_id for _, instrument_id in self.listener.subscribed}
        assert len(self.board) == len(watched)

    @rule()
    def read_snapshot(self) -> None:
        """Read the newest bar of each instrument that is awaited."""
        newest = {i: max((p for p in self.stored if p[0] == i), default=None) for i in (1, 2)}
        awaited = {instrument_id for _, instrument_id in self.awaited}
        places = (place for i, place in newest.items() if i in awaited and place is not None)
        self.read = [(place, self.stored[place]) for place in places]

    @precondition(lambda self: self.read is not None)
    @rule()
    def begin(self) -> None:
        assert self.read is not None
        self.board.take_snapshot(changed(*bar) for bar in self.read)
        begun, board = self.awaited, self.board
        self.listener.begin(begun, board.newest_bars(begun), board.newest_quotes(begun))
        self.awaited, self.read = frozenset(), None

    @rule(is_lost=st.booleans())
    def interrupt(self, *, is_lost: bool) -> None:
        """Lose the messages that are under way, and perhaps all that is stored."""
        was_live = self.listener.is_live
        self.listener.interrupt(stale_frame("redis-away"))
        self.board.forget_bars()
        self.messages.clear()
        if is_lost:
            self.n = 0
            self.stored.clear()
        self.awaited, self.read = self.listener.subscribed, None
        self.due.clear()
        self.sent.clear()
        if was_live:
            assert ("stale", {"reason": "redis-away"}) in self.take_all()

    @precondition(lambda self: self.listener._something.is_set())
    @rule()
    def take(self) -> None:
        self.take_all()

    def take_all(self) -> list[tuple[str, Any]]:
        events = events_in(asyncio.run(self.listener.take()) or b"")  # type: ignore[arg-type]
        for kind, data in events:
            if kind == "stale":
                self.bars.clear()
                self.quotes.clear()
            elif kind == "bar":
                self.take_bar((data["instrument_id"], minute_at(data["t"])), data["n"])
            elif kind == "quote":
                assert ("quotes", data["instrument_id"]) in self.begun
                assert self.quotes.get(data["instrument_id"]) != data["price"]
                self.quotes[data["instrument_id"]] = data["price"]
            elif kind == "gap":
                self.gaps |= {*range(minute_at(data["start"]), minute_at(data["end"]))}
        return events

    @property
    def begun(self) -> Subscriptions:
        return self.listener.subscribed - self.awaited

    def take_bar(self, place: Place, n: int) -> None:
        assert ("bars", place[0]) in self.begun, "nothing is sent before its snapshot"
        assert n > self.bars.get(place, 0), "each state comes once, and in order"
        if n not in self.sent:
            newest = max(known for known in (*self.bars, place) if known[0] == place[0])
            assert newest == place, "a snapshot brings back no minute that a newer one came after"
        self.bars[place] = n

    @rule()
    def settle(self) -> None:
        """Have the client get all, and then it has what is stored, but for gaps."""
        if self.awaited:
            self.read_snapshot()
            self.begin()
        if self.messages:
            self.deliver(len(self.messages))
        if self.listener._something.is_set():
            self.take()
        for channel, instrument_id in self.listener.subscribed:
            newest = max(
                (place for place in self.stored if place[0] == instrument_id), default=None
            )
            if newest is None:
                continue
            if channel == "quotes":
                assert self.quotes[instrument_id] == self.stored[newest]
            else:
                assert self.bars[newest] == self.stored[newest]
        for place, n in self.due.items():
            assert self.bars.get(place, 0) >= n or place[1] in self.gaps
        self.due.clear()
        self.gaps.clear()

    def teardown(self) -> None:
        self.settle()


TestStreams = Streams.TestCase
TestStreams.settings = examples(400)


def test_a_snapshot_says_whether_a_bar_is_closed_by_now() -> None:
    now_ms = RUNNING_S * 1000
    board, listener = Board(lambda: now_ms), Listener(SERVER_SENT["number"], None)  # type: ignore[arg-type]
    subscribed = frozenset([Subscription("bars", 4)])
    board.add(listener, subscribed)
    board.take([changed((4, 0), 1)])
    for is_closed in (False, True):
        ((_, frame),) = board.newest_bars(subscribed)
        assert frame.content.closed is is_closed
        now_ms += 60_000


async def test_nothing_is_sent_before_its_snapshot_nor_an_older_minute_after_a_newer_one() -> None:
    board = Board(lambda: NOW_MS)
    listener = Listener(SERVER_SENT["number"], LiveMetrics(CollectorRegistry()))
    begun, added = (frozenset([Subscription("bars", i)]) for i in (4, 6))
    board.add(listener, begun | added)
    listener.watch(begun)
    listener.begin(begun, [], [])
    listener.watch(begun | added)

    async def taken() -> list[tuple[Place, int]]:
        events = events_in(await listener.take() or b"")
        bars = [data for kind, data in events if kind == "bar"]
        return [((bar["instrument_id"], minute_at(bar["t"])), bar["n"]) for bar in bars]

    board.take([changed((6, 0), 1), changed((4, 1), 2)])
    assert await taken() == [((4, 1), 2)]
    board.take_snapshot([changed((4, 0), 1), changed((4, 1), 3)])
    assert await taken() == [((4, 1), 3)]
