"""Clients that come back get what they missed, or an event that says that they do not."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

import pytest

import api.live.following
import api.live.snapshots
from api.live.cursor import parse_cursor
from contracts.bars import BarValue
from tests.cases import each
from tests.patience import PATIENCE_S

from .conftest import NOW_MS, RUNNING_S, Filled
from .streaming import Served, Stream, Worker, served, value
from .websockets import Client, client_of

MINUTE_MS = 60_000


@pytest.fixture
async def api_(where: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(api.live.following, "POSITIONS_EVERY_S", 0.02)
    async with served(**where) as application:
        yield application


def minutes_ago(n: int, quotes: int) -> tuple[int, BarValue]:
    """Return a minute, and a bar of it."""
    return RUNNING_S - 60 * n, value(quotes)


class Way(Protocol):
    """Opens a stream of bars; a client that comes back names the last id."""

    def __call__(
        self, application: Served, *instruments: int, last_id: str | None = None
    ) -> contextlib.AbstractAsyncContextManager["Bars"]:
        """Return the stream, for the block."""


class Bars:
    """A stream of bars of either kind, as events of one form."""

    def __init__(self, source: Stream | Client) -> None:
        self._source = source

    @property
    def last_id(self) -> str | None:
        """The last one that came."""
        return self._source.last_id

    async def next(self) -> tuple[str, Any]:
        """Return the next event and its data."""
        if isinstance(self._source, Client):
            event = await self._source.next("b", "live", "stale", "gap")
            kind = {"b": "bar"}.get(event["T"], event["T"])
            return kind, {name: of for name, of in event.items() if name not in ("T", "id")}
        while (event_ := await self._source.next())[0] == "":
            pass
        assert event_[0] != "end", "the server ended the stream"
        return event_

    async def until_live(self) -> list[tuple[str, Any]]:
        """Return the events before the next `live`."""
        found = []
        while (event := await self.next())[0] != "live":
            found.append(event)
        return found

    async def bars_until_live(self) -> list[tuple[int, int, int]]:
        """Return instrument, minutes ago and n of the bars before the next `live`."""
        return [
            (bar["instrument_id"], (RUNNING_S * 1000 - bar["t"]) // MINUTE_MS, bar["n"])
            for kind, bar in await self.until_live()
            if kind == "bar"
        ]


@contextlib.asynccontextmanager
async def server_sent(
    application: Served, *instruments: int, last_id: str | None = None
) -> AsyncIterator[Bars]:
    async with application.stream(*instruments, last_id=last_id) as stream:
        yield Bars(stream)


@contextlib.asynccontextmanager
async def of_websocket(
    application: Served, *instruments: int, last_id: str | None = None
) -> AsyncIterator[Bars]:
    async with client_of(application) as client:
        assert (await client.say("subscribe", *instruments, since=last_id))["T"] == "subscription"
        yield Bars(client)


both = pytest.mark.parametrize("way", [server_sent, of_websocket])


@both
async def test_a_client_that_comes_back_gets_what_changed_since_and_not_what_it_has(
    api_: Served, workers: Worker, way: Way
) -> None:
    await workers.write([(4, *minutes_ago(9, 1)), (4, *minutes_ago(5, 2)), (5, *minutes_ago(5, 3))])
    async with way(api_, 4, 5) as stream:
        assert sorted(await stream.bars_until_live()) == [(4, 5, 2), (5, 5, 3)]
        last_id = stream.last_id
    # Bars are revised, however late that is, and new ones come; instrument 5 is behind the others.
    await workers.write(
        [(4, *minutes_ago(40, 4)), (4, *minutes_ago(5, 5)), (5, *minutes_ago(4, 7))]
    )
    await workers.write([(4, *minutes_ago(3, 6)), (4, *minutes_ago(0, 8)), (6, *minutes_ago(0, 9))])
    async with way(api_, 4, 5, last_id=last_id) as stream:
        again = await stream.bars_until_live()
        assert again[:3] == [(4, 40, 4), (4, 5, 5), (4, 3, 6)], "what was missed, oldest first"
        assert sorted(again[3:]) == [(4, 0, 8), (5, 4, 7)], "the newest ones"
        await workers.write([(4, *minutes_ago(0, 9))])
        kind, bar = await stream.next()
        assert (kind, bar["n"]) == ("bar", 9)


@both
async def test_a_client_that_missed_nothing_gets_the_newest_bars_alone(
    api_: Served, workers: Worker, way: Way
) -> None:
    async with way(api_, 4) as stream:
        await stream.until_live()
        await workers.write([(4, *minutes_ago(2, 1)), (4, *minutes_ago(1, 2))])
        for expected in (1, 2):
            assert (await stream.next())[1]["n"] == expected
        last_id = None
        while last_id is None or sum(parse_cursor(last_id).marks) < 2:  # type: ignore[union-attr]
            await workers.write([(4, *minutes_ago(1, 3))])
            await stream.next()
            last_id = stream.last_id
    async with way(api_, 4, last_id=last_id) as stream:
        again = await stream.bars_until_live()
        assert again == [(4, 1, 3)]


@both
async def test_what_is_sent_again_is_bounded_and_the_rest_is_a_gap(
    api_: Served, workers: Worker, way: Way
) -> None:
    await workers.write((i, *minutes_ago(n, 1)) for i in (4, 5) for n in range(99, -1, -1))
    left_ms = NOW_MS - 80 * MINUTE_MS
    async with way(api_, 4, 5, last_id=str(left_ms)) as stream:
        (kind, gap), *bars = await stream.until_live()
    first_ms = (RUNNING_S - 59 * 60) * 1000
    assert (kind, gap) == ("gap", {"start": left_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS,
                                   "end": first_ms})  # fmt: skip
    assert len(bars) == 2 * 60
    assert min(bar["t"] for _, bar in bars) == first_ms


@both
async def test_of_too_many_bars_the_newest_minutes_are_sent_whole(
    api_: Served, workers: Worker, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.snapshots, "BARS_MOST", 7)
    await workers.write((i, *minutes_ago(n, 1)) for i in (4, 5) for n in range(9, -1, -1))
    async with way(api_, 4, 5, last_id=str(NOW_MS)) as stream:
        (kind, gap), *bars = await stream.until_live()
    starts = {(RUNNING_S - 60 * n) * 1000 for n in range(3)}
    assert sorted((bar["instrument_id"], bar["t"]) for _, bar in bars) == [
        (i, t) for i in (4, 5) for t in sorted(starts)
    ]
    assert (kind, gap) == ("gap", {"start": (RUNNING_S - 9 * 60) * 1000, "end": min(starts)})


@each("last_id", ["x", "-1", "9" * 400, "1e3", "1.2.3", "0"])
async def test_a_client_that_names_an_id_that_is_none_of_ours_gets_the_last_hour_and_a_gap(
    api_: Served, workers: Worker, last_id: str
) -> None:
    await workers.write([(4, *minutes_ago(1, 1)), (4, *minutes_ago(0, 2))])
    async with server_sent(api_, 4, last_id=last_id) as stream:
        events = await stream.until_live()
    assert [kind for kind, _ in events] == ["gap", "bar", "bar"]
    assert events[0][1] == {"start": 0, "end": (RUNNING_S - 59 * 60) * 1000}


async def test_what_is_added_while_the_stream_is_open_may_be_caught_up_too(
    api_: Served, workers: Worker
) -> None:
    await workers.write([(i, *minutes_ago(n, 1)) for n in (3, 2) for i in (4, 5)])
    async with client_of(api_) as client:
        bars = Bars(client)
        await client.say("subscribe", 4)
        assert await bars.bars_until_live() == [(4, 2, 1)]
        await client.say("subscribe", 4, 5, since=f"{NOW_MS}.0.0.0")
        assert await bars.bars_until_live() == [(5, 3, 1), (5, 2, 1)], "of the added one"


async def test_after_an_outage_of_redis_what_was_missed_comes_too(
    api_: Served, workers: Worker, filled: Filled
) -> None:
    async with server_sent(api_, 4, 5) as stream:
        await stream.until_live()
        follower = api_.live._follower
        subscribed = follower._channels.subscribed
        closed = asyncio.Event()

        @contextlib.asynccontextmanager
        async def later(channels: Any) -> AsyncIterator[Any]:
            await closed.wait()
            async with subscribed(channels) as subscriptions:
                yield subscriptions

        follower._channels.subscribed = later  # type: ignore[method-assign]
        filled.store.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await stream.next() == ("stale", {"reason": "redis-away"})
        await workers.write((i, *minutes_ago(n, 1)) for i in (4, 5) for n in range(5, -1, -1))
        closed.set()
        missed = await stream.bars_until_live()
        assert sorted(missed) == [(i, n, 1) for i in (4, 5) for n in range(6)]


class Folding:
    """A client that keeps the state of all bars, over any number of streams."""

    def __init__(self, application: Served, way: Way, instruments: list[int]) -> None:
        self.state: dict[tuple[int, int], dict[str, Any]] = {}
        self.gaps = self.streams = self.resumed = 0
        self._application = application
        self._way = way
        self._instruments = instruments
        self._last_id: str | None = None

    async def follow(self) -> None:
        """Open a stream, and fold its events until cancelled."""
        self.streams += 1
        begins = self._last_id is None
        async with self._way(
            self._application, *self._instruments, last_id=self._last_id
        ) as stream:
            is_first = True
            sent: dict[tuple[int, int], int] = {}
            while True:
                kind, data = await stream.next()
                self.resumed += is_first and not begins
                is_first = False
                if kind == "bar":
                    key = data["instrument_id"], data["t"]
                    assert data["n"] > sent.get(key, 0), "each state once, and in order"
                    sent[key] = data["n"]
                    self.state[key] = data
                elif kind == "stale":
                    sent.clear()
                elif kind == "gap":
                    self.gaps += 1
                    await self._read(**data)
                elif begins:  # live
                    begins = False
                    await self._read(0, NOW_MS + 10 * MINUTE_MS)
                self._last_id = stream.last_id

    async def _read(self, start: int, end: int) -> None:
        for bar in await read_bars(self._application, self._instruments, start, end):
            key = bar["instrument_id"], bar["t"]
            if key not in self.state or self.state[key]["n"] < bar["n"]:
                self.state[key] = bar


async def read_bars(
    application: Served, instruments: Iterable[int], start: int, end: int
) -> list[dict[str, Any]]:
    query = {"instruments": ",".join(map(str, instruments)), "limit": 10_000}
    answer = await application.client.get("/v1/bars", params={**query, "start": start, "end": end})
    assert answer.status_code == 200, answer.text
    assert answer.json()["next_page_token"] is None
    bars = answer.json()["bars"]
    return [{**bar, "instrument_id": int(i)} for i, of in bars.items() for bar in of]


def known(bars: Iterable[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
    """Return bars without `closed`, which depends on the clock, and on when one was sent."""
    return {
        (bar["instrument_id"], bar["t"]): {n: of for n, of in bar.items() if n != "closed"}
        for bar in bars
    }


async def test_what_clients_fold_from_streams_that_break_at_any_moment_is_what_v1_bars_answers(
    api_: Served, workers: Worker, filled: Filled, seed: int
) -> None:
    rng = random.Random(seed)
    instruments = list(range(12))
    clients = [
        Folding(api_, way, sorted(rng.sample(instruments, 6)))
        for way in (server_sent, of_websocket) * 2
    ]
    written = asyncio.Event()

    async def write() -> None:
        n = 0
        # On a slow machine streams may break before anything has come.
        while (n := n + 1) < 200 or any(client.resumed < 3 for client in clients):
            # Late quotes revise bars of the last hour; each partition goes on by itself.
            some = rng.sample(instruments, rng.randint(1, 6))
            ago = [0, 0, 0, 1, rng.randint(0, 55)]
            await workers.write((i, *minutes_ago(rng.choice(ago), n)) for i in some)
            await asyncio.sleep(rng.choice([0, 0, 0.01, 0.05]))
            if n % 80 == 0:
                filled.store.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        written.set()

    async def break_off(client: Folding) -> None:
        while not written.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.uniform(0.1, 1)):
                    await client.follow()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        for client in clients:
            tasks.create_task(break_off(client))
    async with asyncio.timeout(PATIENCE_S):
        for client in clients:
            expected = known(await read_bars(api_, client._instruments, 0, NOW_MS + MINUTE_MS))
            following = asyncio.create_task(client.follow())
            while known(client.state.values()) != expected and not following.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            print(f"{client.streams} streams, {client.resumed} resumed, {client.gaps} gaps")
            assert known(client.state.values()) == expected
