import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.proxy import Network, Proxy, link
from tests.patience import PATIENCE_S


class Echo:
    """A server that notes what arrives and answers the same."""

    def __init__(self) -> None:
        self.received: list[bytearray] = []
        """by connection, as a client of another test may still look for a server at this port"""
        self.changed = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = bytearray()
        self.received.append(received)
        while data := await reader.read(1024):
            received += data
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


async def connected(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the server through a proxy that forwards both ways."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"first")
    assert await reader.readexactly(5) == b"first"
    return reader, writer


async def test_a_cut_ends_connections_and_refuses_new_ones(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    reader, writer = await connected(proxy)
    await asyncio.to_thread(proxy.cut)
    for _ in range(2):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.close()
    await asyncio.to_thread(proxy.open)
    _, writer = await connected(proxy)
    writer.close()


async def test_bytes_held_back_by_a_stall_arrive_late_even_if_the_sender_is_gone(
    echo: tuple[Echo, Proxy],
) -> None:
    server, proxy = echo
    _, writer = await connected(proxy)
    await asyncio.to_thread(proxy.stall)
    writer.write(b"late")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert b"first" in server.received
    await asyncio.to_thread(proxy.open)
    async with asyncio.timeout(PATIENCE_S):
        while b"firstlate" not in server.received:
            server.changed.clear()
            await server.changed.wait()


async def test_a_link_of_several_nodes_names_its_proxies_where_a_cluster_names_its_nodes() -> None:
    with Network() as network:
        way = link(network, [50_001, 50_002])
        first, second = (proxy.port for proxy in way.proxies)
        slots = b"*3\r\n:0\r\n:50001\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n"
        answers = {
            slots % 50_002: slots % second,
            b"-MOVED 50001 127.0.0.1:50001\r\n": b"-MOVED 50001 127.0.0.1:%d\r\n" % first,
            b"$5\r\n50001\r\n": b"$5\r\n50001\r\n",
        }
        for said, heard in answers.items():
            assert way.proxies[0].translate(said) == heard
