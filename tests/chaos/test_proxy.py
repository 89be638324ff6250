import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.proxy import Network, Proxy


class Echo:
    """A server that notes what arrives and answers the same."""

    def __init__(self) -> None:
        self.received = b""
        self.changed = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            self.received += data
            self.changed.set()
            writer.write(data)
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, Proxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    with Network() as network:
        yield echo, network.proxy(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()


async def test_an_open_proxy_forwards_both_ways(echo: tuple[Echo, Proxy]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", echo[1].port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()


async def test_a_cut_ends_connections_and_refuses_new_ones(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"hello")
    await reader.readexactly(5)
    await asyncio.to_thread(proxy.cut)
    for _ in range(2):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.close()
    await asyncio.to_thread(proxy.open)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"again")
    assert await reader.readexactly(5) == b"again"
    writer.close()


async def test_what_a_stall_held_back_arrives_late_though_its_sender_has_left(
    echo: tuple[Echo, Proxy],
) -> None:
    server, proxy = echo
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"first")
    await reader.readexactly(5)
    await asyncio.to_thread(proxy.stall)
    writer.write(b"late")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert server.received == b"first"
    server.changed.clear()
    await asyncio.to_thread(proxy.open)
    async with asyncio.timeout(10):
        await server.changed.wait()
    assert server.received == b"firstlate"
