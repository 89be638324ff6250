"""The streams of the Python client, whose connections are lost: against a real API and Valkey."""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
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
from tickrec_client.stream_events import Live, LiveBar, Received, Refused, Stale, Subscribed

from .conftest import RUNNING_S, Filled
from .streaming import Proxy, Served, Worker, served, value


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
