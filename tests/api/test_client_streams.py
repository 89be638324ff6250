"""The streams of the Python client, whose connections are lost: against a real API and Valkey."""

import asyncio
import contextlib
import itertools
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from contracts.bars import BarValue
from tests.certificates import issued
from tests.patience import PATIENCE_S
from tickrec_client import AsyncTickrec, Tickrec, TickrecError, stream_events
from tickrec_client.retries import GIVE_UP_AFTER_S
from tickrec_client.stream_events import (
    Live,
    LiveBar,
    LiveQuote,
    Received,
    Refused,
    Stale,
    Subscribed,
    Unknown,
)
from tickrec_client.structs import Gap

from .conftest import RUNNING_S, Filled
from .streaming import Served, Worker, served, value


class Proxy:
    """Passes connections on to a server, until they are cut."""

    def __init__(self, api_url: httpx.URL) -> None:
        self.api_url = api_url
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass a connection on."""
        there, back = await asyncio.open_connection(self.api_url.host, self.api_url.port)
        self._open |= {writer, back}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._open:
            if writer.is_closing():
                continue
            own = writer.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()
        self._open.clear()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


@pytest.fixture
async def api_(where: dict[str, Any], filled: Filled) -> AsyncIterator[Served]:
    filled.instrument(5, "AAPL")
    async with served(**where) as application:
        yield application


@pytest.fixture
async def proxy(api_: Served, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy of the API, and its address."""
    monkeypatch.setattr(stream_events, "RECONNECT_S", 0.0)
    proxy = Proxy(api_.client.base_url)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    yield proxy, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    proxy.cut()


def bar(n: int, minutes_ago: int = 0) -> tuple[int, BarValue]:
    return RUNNING_S - 60 * minutes_ago, value(n)


async def until(changes: AsyncIterator[Received], kind: type[Received]) -> list[Received]:
    """Return what comes up to the first of a kind, inclusive."""
    found: list[Received] = []
    async with asyncio.timeout(PATIENCE_S):
        while not found or not isinstance(found[-1], kind):
            found.append(await anext(changes))
    return found


async def test_a_websocket_whose_connection_is_cut_goes_on_with_what_it_missed(
    proxy: tuple[Proxy, str], workers: Worker
) -> None:
    cut, url = proxy
    await workers.write([(4, *bar(1, 9))])
    async with AsyncTickrec(url) as tickrec, tickrec.stream() as stream:
        changes = aiter(stream)
        await stream.subscribe(bars=[4, "XYZ"], quotes=["AAPL"])  # before it is open
        received = await until(changes, Live)
        assert Subscribed({"4": 4}, {"AAPL": 5}) in received
        assert [of.code for of in received if isinstance(of, Refused)] == [404]
        assert [of.n for of in received if isinstance(of, LiveBar)] == [1]
        await stream.subscribe(bars=[6])
        await until(changes, Live)
        await workers.write([(4, *bar(2, 5))])
        await until(changes, LiveBar)
        cut.cut()
        await workers.write([(4, *bar(3, 6)), (4, *bar(7, 3)), (4, *bar(8)), (6, *bar(9, 1))])
        await workers.write([(5, *bar(3)), (6, *bar(9))])
        assert isinstance((await until(changes, Stale))[-1], Stale)
        again = await until(changes, Live)
        got = [(of.instrument_id, of.n) for of in again if isinstance(of, LiveBar)]
        assert got[:3] == [(4, 3), (4, 2), (4, 7)], "missed, or changed since the minute before"
        assert sorted(got[3:]) == [(4, 8), (6, 9)], "the newest ones; it had no bar of instrument 6"
        assert [of.price for of in again if isinstance(of, LiveQuote)] == [3]
        await stream.unsubscribe(bars=[4, 6, "XYZ"])
        assert (await until(changes, Subscribed))[-1] == Subscribed({}, {"AAPL": 5})


Open = Callable[[AsyncTickrec, Sequence[int]], AsyncIterator[Received | Unknown]]


async def of_websocket(
    tickrec: AsyncTickrec, instruments: Sequence[int]
) -> AsyncIterator[Received | Unknown]:
    async with tickrec.stream() as stream:
        await stream.subscribe(bars=instruments)
        async for change in stream:
            yield change


async def counts(
    tickrec: AsyncTickrec, instruments: Sequence[int], start: int, end: int
) -> dict[tuple[int, int], int]:
    """Return the numbers of quotes in the bars of `/v1/bars`, by instrument and minute."""
    found = await tickrec.bars(instruments, start=start, end=end, limit=10_000)
    return {(int(i), bar.t): bar.n for i, bars in found.bars.items() for bar in bars}


@pytest.mark.parametrize("open_", [AsyncTickrec.stream_bars, of_websocket])
async def test_what_a_client_folds_from_connections_cut_at_any_moment_is_what_v1_bars_answers(
    open_: Open, proxy: tuple[Proxy, str], workers: Worker, filled: Filled, seed: int
) -> None:
    cut, url = proxy
    rng, minutes_ago = random.Random(seed), 50
    instruments = list(range(8))
    folded: dict[tuple[int, int], int] = {}
    losses = 0

    async def fold(tickrec: AsyncTickrec) -> None:
        nonlocal losses
        async for change in open_(tickrec, instruments):
            losses += isinstance(change, Stale)
            if isinstance(change, LiveBar):
                folded[change.instrument_id, change.t] = change.n
            elif isinstance(change, Gap):  # too many minutes in one write
                folded.update(await counts(direct, instruments, change.start, change.end))

    async with AsyncTickrec(url) as tickrec, AsyncTickrec(str(cut.api_url)) as direct:
        await workers.write([(i, *bar(1, minutes_ago)) for i in instruments])
        folding = asyncio.create_task(fold(tickrec))
        n = 1
        async with asyncio.timeout(PATIENCE_S):
            while len(folded) < len(instruments):  # noqa: ASYNC110 (from the first bars on)
                await asyncio.sleep(0.01)
            while minutes_ago or losses < 5:
                n += 1
                minutes_ago = max(minutes_ago - (rng.random() < 0.2), 0)
                # A late quote changes the bar of the minute before.
                ago = minutes_ago + (rng.random() < 0.3)
                some = rng.sample(instruments, rng.randint(1, 6))
                await workers.write([(i, *bar(n, ago)) for i in some])
                await asyncio.sleep(rng.choice([0, 0, 0.01, 0.05]))
                if rng.random() < 0.03:
                    cut.cut()
                elif rng.random() < 0.02:
                    filled.store.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            start, end = (RUNNING_S - 3600) * 1000, (RUNNING_S + 60) * 1000
            expected = await counts(direct, instruments, start, end)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    while folded != expected and not folding.done():  # noqa: ASYNC110 (it follows)
                        await asyncio.sleep(0.01)
        folding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await folding
        assert folded == expected


async def test_a_command_that_is_refused_is_not_sent_again_with_those_that_were_accepted(
    proxy: tuple[Proxy, str],
) -> None:
    cut, url = proxy
    async with AsyncTickrec(url) as tickrec, tickrec.stream() as stream:
        changes = aiter(stream)
        await stream.subscribe(bars=[4, "XYZ"])
        await until(changes, Refused)
        await stream.subscribe(bars=range(501))
        await stream.subscribe(quotes=["AAPL"])
        received = await until(changes, Subscribed)
        assert [of.code for of in received if isinstance(of, Refused)] == [422]
        cut.cut()
        await until(changes, Stale)
        again = await until(changes, Subscribed)
        assert again[-1] == Subscribed({"4": 4}, {"AAPL": 5})


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_stream_that_is_closed_ends_even_while_its_connection_is_lost(
    proxy: tuple[Proxy, str], *, is_lost: bool
) -> None:
    cut, url = proxy
    async with AsyncTickrec(url) as tickrec:
        stream = tickrec.stream()
        changes = aiter(stream)
        await stream.subscribe(bars=[4])
        await until(changes, Live)
        if is_lost:
            cut.cut()
            await until(changes, Stale)
        await stream.aclose()
        async with asyncio.timeout(PATIENCE_S):
            assert [change async for change in changes] == []


async def test_a_stream_that_is_closed_while_it_is_opened_ends(
    proxy: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = proxy
    async with AsyncTickrec(url) as tickrec:
        stream = tickrec.stream()
        subscribe_again = stream._subscribe_again

        async def close_first(connection: Any) -> None:
            await stream.aclose()
            await subscribe_again(connection)

        monkeypatch.setattr(stream, "_subscribe_again", close_first)
        await stream.subscribe(bars=[4])
        async with asyncio.timeout(PATIENCE_S):
            assert [change async for change in aiter(stream)] == []


async def test_a_stream_that_is_refused_raises_the_problem(where: dict[str, Any]) -> None:
    async with served(**where) as application:
        url = str(application.client.base_url)
        async with AsyncTickrec(url) as tickrec, tickrec.stream() as stream:
            stream._headers["Origin"] = "https://evil.example"
            with pytest.raises(TickrecError, match="unknown-origin") as refused:
                await anext(aiter(stream))
            assert refused.value.status == 403


READS: Mapping[str, Callable[[AsyncTickrec], Awaitable[object]]] = {
    "bars": lambda tickrec: anext(tickrec.stream_bars([4])),
    "websocket": lambda tickrec: anext(aiter(tickrec.stream())),
    "read": lambda tickrec: tickrec.instrument_bars(4),
}


@pytest.mark.parametrize("read", READS)
async def test_a_certificate_that_cannot_be_verified_is_an_error_at_once(
    read: str, tmp_path: Path
) -> None:
    own = issued(tmp_path, "api", trustme.CA())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.certificate, own.key)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, AsyncTickrec(url) as tickrec, asyncio.timeout(GIVE_UP_AFTER_S / 2):
        with pytest.raises((httpx.ConnectError, OSError), match="CERTIFICATE_VERIFY_FAILED"):
            await READS[read](tickrec)


async def test_the_client_without_asyncio_streams_alike(
    proxy: tuple[Proxy, str], workers: Worker
) -> None:
    cut, url = proxy
    loop = asyncio.get_running_loop()

    def call(awaitable: Any) -> None:
        asyncio.run_coroutine_threadsafe(awaitable, loop).result(PATIENCE_S)

    async def cut_and_write() -> None:
        cut.cut()
        await workers.write([(4, *bar(9, 1)), (4, *bar(5))])

    def follow() -> None:
        with Tickrec(url) as tickrec, tickrec.stream() as stream:
            stream.subscribe(bars=[4], quotes=["AAPL"])
            changes: Iterator[Received] = iter(stream)
            assert list(itertools.islice(changes, 2)) == [Subscribed({"4": 4}, {"AAPL": 5}), Live()]
            call(workers.write([(4, *bar(1, 2))]))
            first = next(changes)
            assert isinstance(first, LiveBar)
            call(cut_and_write())
            again = list(itertools.takewhile(lambda change: change != Live(), changes))
            assert [of.n for of in again if isinstance(of, LiveBar)] == [1, 9, 5]

    with ThreadPoolExecutor(1) as thread:
        await loop.run_in_executor(thread, follow)


async def test_quotes_are_streamed_as_server_sent_events_too(
    proxy: tuple[Proxy, str], workers: Worker
) -> None:
    cut, url = proxy
    await workers.write([(5, *bar(3))])
    async with AsyncTickrec(url) as tickrec:
        changes = tickrec.stream_quotes(["AAPL"])
        quote = await anext(changes)
        assert isinstance(quote, LiveQuote)
        assert (quote.instrument_id, quote.price, await anext(changes)) == (5, 3, Live())
        cut.cut()
        await workers.write([(5, *bar(4))])
        assert await anext(changes) == Stale("disconnected")
        quote = await anext(changes)
        assert isinstance(quote, LiveQuote)
        assert quote.price == 4
