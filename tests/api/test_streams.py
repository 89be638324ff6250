"""Streams of both kinds as one machine with its model: what clients hold is what is stored.

The clients are the Python client's: it reconnects, and reads what it missed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

import api.live.stream
from tests.examples import examples
from tests.patience import PATIENCE_S, until_true
from tickrec_client import AsyncTickrec, stream_events
from tickrec_client.stream_events import Live, LiveBar, LiveQuote, Stale, Subscribed, Unknown
from tickrec_client.structs import Gap

from .conftest import RUNNING_S, TOPOLOGY, Filled
from .streaming import Proxy, Served, Worker, served, value, worker

FIRST_S: Final = RUNNING_S - 60 * 1000
OF_EACH: Final = 2
"""instruments of an example"""
MOST_CLIENTS: Final = 3
NUMBERS: Final = st.integers(0, OF_EACH - 1)
SOME: Final = st.sets(NUMBERS, min_size=1)

Place = tuple[int, int]
"""An instrument and the start of a minute, epoch ms."""


@dataclass
class World:
    """A server whose connections and messages a test controls, and a worker that writes bars."""

    api: Served
    proxy: Proxy
    url: str
    worker: Worker
    store: Redis
    channels: Sequence[str]
    """of changed bars"""
    direct: AsyncTickrec
    instruments: int = 0
    """of earlier examples"""

    async def bars(self, instruments: Sequence[int], start: int, end: int) -> dict[Place, Any]:
        """Return the bars of `/v1/bars`, as a stream has them."""
        found = await self.direct.bars(instruments, start=start, end=end, limit=10_000)
        return {
            (int(i), bar.t): LiveBar(**msgspec.structs.asdict(bar), instrument_id=int(i))
            for i, bars in found.bars.items()
            for bar in bars
        }


@contextlib.asynccontextmanager
async def world_of(where: dict[str, Any], filled: Filled) -> AsyncIterator[World]:
    async with (
        served(**where, streams_per_client=1000) as application,
        worker(**where) as its,
        AsyncTickrec(str(application.client.base_url)) as direct,
    ):
        proxy = Proxy(application.client.base_url)
        async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            channels = [filled.keys.bars_changed(p) for p in range(TOPOLOGY.quotes)]
            yield World(application, proxy, url, its, filled.store, channels, direct)
            proxy.cut()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def world(
    where: dict[str, Any], filled: Filled, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    monkeypatch.setattr(stream_events, "RECONNECT_S", 0.0)
    monkeypatch.setattr(api.live.stream, "PACE_S", 0)
    stack = contextlib.AsyncExitStack()
    world = runner.run(stack.enter_async_context(world_of(where, filled)))
    yield world
    runner.run(stack.aclose())


@dataclass(eq=False)
class Follower:
    """A client, what it should have, and what it has."""

    world: World
    tickrec: AsyncTickrec
    stream: Any = None
    """its WebSocket; server-sent events have none"""
    bars: set[int] = field(default_factory=set)
    quotes: set[int] = field(default_factory=set)
    due: dict[Place, int] = field(default_factory=dict)
    """the last state of each bar that changed after it had one of the instrument"""
    had: dict[Place, LiveBar] = field(default_factory=dict)
    prices: dict[int, float] = field(default_factory=dict)
    confirmed: Subscribed | None = None
    is_live: bool = True
    has_read: bool = False
    """whether it has read bars over HTTP, which then may come again"""
    following: asyncio.Task[None] | None = None

    async def follow(self, changes: AsyncIterator[Any]) -> None:
        async for change in changes:
            if isinstance(change, LiveBar):
                self._take_bar(change)
            elif isinstance(change, LiveQuote):
                self._take_quote(change)
            elif isinstance(change, Gap):
                self.has_read = True
                self.had |= await self.world.bars(sorted(self.bars), change.start, change.end)
            elif isinstance(change, Stale):
                self.is_live, self.has_read = False, True
                self.prices.clear()
            elif isinstance(change, Live):
                self.is_live = True
            elif isinstance(change, Subscribed):
                self._take_answer(change)
            else:
                assert not isinstance(change, Unknown)

    def _take_bar(self, bar: LiveBar) -> None:
        known = self.had.get((bar.instrument_id, bar.t))
        if self.is_live:
            assert self.confirmed is None or bar.instrument_id in self.confirmed.bars.values()
            assert known is None or bar.n > known.n - self.has_read, "once each, and in order"
        self.had[bar.instrument_id, bar.t] = bar

    def _take_quote(self, quote: LiveQuote) -> None:
        assert self.prices.get(quote.instrument_id) != quote.price, "a change"
        self.prices[quote.instrument_id] = quote.price

    def _take_answer(self, answer: Subscribed) -> None:
        self.confirmed = answer
        bars, quotes = answer.bars.values(), answer.quotes.values()
        self.had = {at: bar for at, bar in self.had.items() if at[0] in bars}
        self.prices = {i: price for i, price in self.prices.items() if i in quotes}

    def note(self, place: Place, n: int) -> None:
        """Note a write that it must learn of."""
        if place[0] in self.bars and any(place[0] == i for i, _ in self.had):
            self.due[place] = n

    def missing(self, newest: dict[int, Place], stored: dict[Place, tuple[int, float]]) -> Any:
        """Return what it should have, and has not."""
        bars = {i: newest[i] for i in self.bars if i in newest}
        due = self.due | {place: stored[place][0] for place in bars.values()}
        late = {at: n for at, n in due.items() if at not in self.had or self.had[at].n < n}
        prices = {i: stored[newest[i]][1] for i in self.quotes if i in newest}
        return late, {i: price for i, price in prices.items() if self.prices.get(i) != price}


class Streams(RuleBasedStateMachine):
    """Clients that come, change what they follow, and lose their connections, while bars change.

    `test_live_board` does the same to one client in each order of what reaches the server.

    The state of a bar is a number of its own, its `n`. Quotes are at most a minute late: older bars
    that change while a client has no connection are not sent.
    """

    clients: Bundle[Follower] = Bundle("clients")

    def __init__(self, world: World, runner: asyncio.Runner) -> None:
        super().__init__()
        self.world = world
        self._runner = runner
        self.pace_s = 0.01
        self.first = world.instruments
        world.instruments += OF_EACH
        self.followers: list[Follower] = []
        self.n = self.minute = 0
        self.stored: dict[Place, tuple[int, float]] = {}
        """`n` and the price of the newest quote"""
        self.newest: dict[int, Place] = {}

    def run(self, awaitable: Coroutine[Any, Any, Any]) -> None:
        """Wait for something, and let the server and its clients go on for a while."""
        self._runner.run(awaitable)
        self._runner.run(asyncio.sleep(self.pace_s))

    def ids(self, numbers: set[int]) -> set[int]:
        return {self.first + number for number in numbers}

    @precondition(lambda self: len(self.followers) < MOST_CLIENTS)
    @rule(target=clients, numbers=SOME, channel=st.sampled_from(["bars", "quotes"]))
    def open_events(self, numbers: set[int], channel: str) -> Follower:
        tickrec = AsyncTickrec(self.world.url)
        follower = Follower(self.world, tickrec, **{channel: self.ids(numbers)})
        changes = getattr(tickrec, f"stream_{channel}")(sorted(self.ids(numbers)))
        return self._followed(follower, changes)

    @precondition(lambda self: len(self.followers) < MOST_CLIENTS)
    @rule(target=clients)
    def open_websocket(self) -> Follower:
        tickrec = AsyncTickrec(self.world.url)
        stream = tickrec.stream()
        return self._followed(Follower(self.world, tickrec, stream), aiter(stream))

    def _followed(self, follower: Follower, changes: AsyncIterator[Any]) -> Follower:
        async def begin() -> None:
            follower.following = asyncio.create_task(follower.follow(changes))
            await asyncio.sleep(0)

        self.run(begin())
        self.followers.append(follower)
        return follower

    @rule(follower=clients, bars=st.sets(NUMBERS), quotes=SOME)
    def subscribe(self, follower: Follower, bars: set[int], quotes: set[int]) -> None:
        if follower.stream is not None:
            follower.bars |= self.ids(bars)
            follower.quotes |= self.ids(quotes)
            self.run(follower.stream.subscribe(bars=self.ids(bars), quotes=self.ids(quotes)))

    @rule(follower=clients, bars=SOME, quotes=st.sets(NUMBERS))
    def unsubscribe(self, follower: Follower, bars: set[int], quotes: set[int]) -> None:
        if follower.stream is not None:
            follower.bars -= self.ids(bars)
            follower.quotes -= self.ids(quotes)
            follower.due = {at: n for at, n in follower.due.items() if at[0] in follower.bars}
            self.run(follower.stream.unsubscribe(bars=self.ids(bars), quotes=self.ids(quotes)))

    @rule(follower=consumes(clients))
    def leave(self, follower: Follower) -> None:
        self.followers.remove(follower)
        self.run(closed(follower))

    @rule(
        of=st.lists(st.tuples(NUMBERS, st.integers(0, 1), st.booleans()), min_size=1, max_size=4),
        minutes=st.integers(0, 1),
    )
    def write(self, of: list[tuple[int, int, bool]], minutes: int) -> None:
        self.minute += minutes
        self._write([(self.first + number, self.minute - ago, late) for number, ago, late in of])

    @rule(number=NUMBERS, minutes=st.integers(2, 30))
    def write_many_minutes(self, number: int, minutes: int) -> None:
        self._write([(self.first + number, self.minute + m, False) for m in range(minutes)])
        self.minute += minutes - 1

    def _write(self, bars: list[tuple[int, int, bool]]) -> None:
        values = []
        for instrument, minute, is_late in bars:
            self.n += 1
            second = FIRST_S + 60 * minute
            place = instrument, 1000 * second
            known = self.stored.get(place)
            price = known[1] if is_late and known is not None else float(self.n)
            self.stored[place] = self.n, price
            self.newest[instrument] = max(self.newest.get(instrument, place), place)
            values.append((instrument, second, msgspec.structs.replace(value(self.n), c=price)))
            for follower in self.followers:
                follower.note(place, self.n)
        self.run(self.world.worker.write(values))

    @rule()
    def cut_connections(self) -> None:
        self.run(self._cut())

    async def _cut(self) -> None:
        self.world.proxy.cut()

    @rule()
    def lose_messages(self) -> None:
        self.world.store.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        self.run(asyncio.sleep(0))

    @rule(pace_s=st.sampled_from([0, 0.002, 0.01]))
    def hurry(self, pace_s: float) -> None:
        self.pace_s = pace_s

    @rule()
    def settle(self) -> None:
        """Have all clients get all: they have what is stored, as `/v1/bars` has it."""
        self.run(self._settled())

    async def _settled(self) -> None:
        instruments = [*range(self.first, self.first + OF_EACH)]
        end = FIRST_S + 60 * (self.minute + 1)
        stored = await self.world.bars(instruments, 1000 * (FIRST_S - 60), 1000 * end)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S / 4):
                while any(map(self._missing, self.followers)):  # noqa: ASYNC110 (they follow)
                    await asyncio.sleep(0.001)
        assert [*filter(None, map(self._missing, self.followers))] == []
        counts = self.world.store.execute_command("PUBSUB SHARDNUMSUB", *self.world.channels)
        assert max(count for _, count in counts) <= 1, "however many listen"
        for follower in self.followers:
            due = {*follower.due, *(self.newest[i] for i in follower.bars if i in self.newest)}
            assert {at: follower.had[at] for at in due} == {at: stored[at] for at in due}
            follower.due.clear()

    def _missing(self, follower: Follower) -> Any:
        assert follower.following is not None
        if follower.following.done():
            follower.following.result()
        found = follower.missing(self.newest, self.stored)
        return found if any(found) else None

    def teardown(self) -> None:
        self.settle()
        for follower in self.followers:
            self.run(closed(follower))


async def closed(follower: Follower) -> None:
    assert follower.following is not None
    follower.following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await follower.following
    await follower.tickrec.aclose()


def test_clients_have_what_is_stored_whatever_happens_to_them_and_leave_nothing_behind(
    world: World, runner: asyncio.Runner
) -> None:
    # A smaller example of what never comes would take hours to find.
    settings = examples(48, stateful_step_count=40, phases=[Phase.generate])
    run_state_machine_as_test(lambda: Streams(world, runner), settings=settings)

    @until_true
    async def nothing_is_left() -> None:
        assert await world.api.metric("api_stream_clients") == 0
        assert not len(world.api.live._board)

    runner.run(nothing_is_left())
