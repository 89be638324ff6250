"""TCP proxies between a worker and its servers that can be cut, stalled, slowed and reopened.

A cut one closes its connections and refuses new ones. A stalled one accepts bytes and holds them
back: what its client has long given up on arrives when it is reopened, as on a healing network.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
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
        """Run on the network's thread, and wait for the end."""
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
        """End for good."""
        self._server.close()
        await self._set(is_cut=True, flowing=True)
        await asyncio.gather(*self._connections)

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        self._network.run(self._set(is_cut=True, flowing=True))

    def stall(self) -> None:
        """Hold back all bytes."""
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
        """Forward in one direction until its end."""
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
