"""TCP proxies between a worker and its servers that can be cut, stalled, slowed and reopened.

A cut one closes its connections and refuses new ones. A stalled one accepts bytes and holds them
back: what its client has long given up on arrives when it is reopened, as on a healing network.
A link has the proxies to all nodes of a server.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from infra.local.process import LOOPBACK

_CHUNK_BYTES: Final = 1 << 16


class Network:
    """A thread that forwards for all proxies; a context manager."""

    def __init__(self) -> None:
        self._proxies: list[Proxy] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)

    def __enter__(self) -> "Network":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def proxy(self, target_port: int) -> "Proxy":
        """Return an open proxy of a port of this machine, on a port that the system chose."""
        proxy = Proxy(self, target_port)
        self._proxies.append(proxy)
        self.run(proxy.listen())
        return proxy

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _close(self) -> None:
        for proxy in self._proxies:
            await proxy.close()


class Proxy:
    """Forwards connections to one port."""

    def __init__(self, network: Network, target_port: int) -> None:
        self._network = network
        self._target_port = target_port
        self.is_open = True
        self.answers_after_s = 0.0
        self.translate: Callable[[bytes], bytes] = bytes
        """what becomes of the server's answers"""
        self._is_cut = False
        self._stalls_at: tuple[bytes, ...] = ()
        self._flowing = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def listen(self) -> None:
        """Begin, open."""
        self._flowing.set()
        self._server = await asyncio.start_server(self._connected, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        await self._set(is_cut=True, flowing=True)
        await asyncio.gather(*self._connections)

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        self._network.run(self._set(is_cut=True, flowing=True))

    def stall(self) -> None:
        self._network.run(self._set(is_cut=False, flowing=False))

    def stall_at(self, *words: bytes) -> None:
        """Stall when bytes come that hold all the words, before they pass."""
        self._stalls_at = words

    def open(self, *until: bytes) -> None:
        """Forward, what was held back first; if there are words, until bytes come that hold all."""
        self._network.run(self._set(is_cut=False, flowing=True, stalls_at=until))

    async def _set(self, *, is_cut: bool, flowing: bool, stalls_at: tuple[bytes, ...] = ()) -> None:
        self._stalls_at = stalls_at
        self._is_cut, self.is_open = is_cut, flowing and not is_cut
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()
        if is_cut:
            for writer in self._writers:
                writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            to_target = await asyncio.open_connection(LOOPBACK, self._target_port)
            await self._forward_both(reader, writer, *to_target)
        writer.transport.abort()
        self._writers.discard(writer)
        self._connections.discard(connection)

    async def _forward_both(
        self,
        from_client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        from_target: asyncio.StreamReader,
        to_target: asyncio.StreamWriter,
    ) -> None:
        self._writers.add(to_target)
        await asyncio.gather(
            self._forward(from_client, to_target, is_answer=False),
            self._forward(from_target, to_client, is_answer=True),
        )
        self._writers.discard(to_target)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self._stalls_at and all(word in data for word in self._stalls_at):
                    await self._set(is_cut=False, flowing=False)
                if is_answer:
                    data = self.translate(data)
                    await asyncio.sleep(self.answers_after_s)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the other side is gone, or the proxy was cut
        finally:
            writer.close()


class Link:
    """All proxies between a worker and the nodes."""

    def __init__(self, proxies: Sequence[Proxy]) -> None:
        self.proxies = proxies

    @property
    def addresses(self) -> list[str]:
        return [f"{LOOPBACK}:{proxy.port}" for proxy in self.proxies]

    @property
    def is_open(self) -> bool:
        return all(proxy.is_open for proxy in self.proxies)

    def cut(self) -> None:
        for proxy in self.proxies:
            proxy.cut()

    def stall(self) -> None:
        for proxy in self.proxies:
            proxy.stall()

    def stall_at(self, *words: bytes) -> None:
        """Stall the link to the first node that is sent bytes with all of the words."""
        for proxy in self.proxies:
            proxy.stall_at(*words)

    def slow_down(self, answers_after_s: float) -> None:
        """Delay each answer by so long; 0 ends it."""
        for proxy in self.proxies:
            proxy.answers_after_s = answers_after_s

    def open(self, *until: bytes) -> None:
        """Forward, what was held back first, until bytes go to a node that hold all the words."""
        for proxy in self.proxies:
            proxy.open(*until)

    def held_back(self) -> int | None:
        """Return the place of a node that cannot be reached, None if all can."""
        return next((n for n, proxy in enumerate(self.proxies) if not proxy.is_open), None)


def link(network: Network, ports: Sequence[int]) -> Link:
    """Return open proxies to the nodes of a store.

    The nodes of a cluster tell their clients where the others are, so in their answers the nodes'
    addresses are replaced by the proxies'. All ports have five digits: lengths stay as they are.
    """
    proxies = [network.proxy(port) for port in ports]
    of_port = {b"%d" % port: b"%d" % proxy.port for port, proxy in zip(ports, proxies, strict=True)}
    assert all(map(_has_five_digits, [*of_port, *of_port.values()]))
    any_port = b"|".join(of_port)
    host = re.escape(LOOPBACK.encode())
    # In a redirection, and as an integer of a list of slots.
    address = re.compile(rb"(?:(?<=%b:)|(?<=%b\r\n:))(?:%b)(?=\D)" % (host, host, any_port))

    def translate(answer: bytes) -> bytes:
        return address.sub(lambda found: of_port[found[0]], answer)

    if len(proxies) > 1:
        for proxy in proxies:
            proxy.translate = translate
    return Link(proxies)


def _has_five_digits(port: bytes) -> bool:
    return len(port) == len(b"65535")
