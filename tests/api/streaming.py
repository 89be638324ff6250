"""A served application whose streams are read live, and a worker that writes bars."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from api.app import create_app
from api.hot.server import Server
from api.live.hub import LiveBars
from api.settings import ApiSettings
from contracts.bar_messages import encode_changed_bars
from contracts.bars import BarValue
from contracts.keyspace import NEWEST_FIELD, NEXT_FIELD, Keyspace
from contracts.log_position import LogPosition
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES, Topic
from infra.local.process import free_port
from runtime.kafka.config import plain
from runtime.redis.stores import connect_async
from stream_processors.store.chunks import Channel, Group, Unwritten, command
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from tests.patience import PATIENCE_S, until_true
from tests.stream_processors.folding import index_of

from .conftest import NOW_MS, TOPOLOGY

Event = tuple[str, Any]
FOLDING = '{"bars_retention_minutes":1440}'


def value(n: int, offset: int | None = None) -> BarValue:
    """A bar of n quotes, the last of which stood at `offset`, n if not given."""
    return BarValue(1, n, 1, n, n, n, n, NOW_MS, NOW_MS, (0, n if offset is None else offset))


class Stream:
    """The events of one client."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> Event:
        """Return the next event and its data, or `("", text)` for a comment or a field alone."""
        async with asyncio.timeout(PATIENCE_S):
            said = []
            async for line in self._lines:
                if line:
                    said.append(line)
                elif said:
                    break
        if not said:
            return ("end", None)
        if not said[0].startswith("event: "):
            return ("", said[0])
        data = msgspec.json.decode(said[1].removeprefix("data: "))
        return (said[0].removeprefix("event: "), data)

    async def until(self, event: str) -> list[Event]:
        """Return the events before the next of a kind."""
        found: list[Event] = []
        while (one := await self.next())[0] != event:
            assert one[0] != "end", f"the stream ended before {event}: {found}"
            found.append(one)
        return found

    async def bars_until_live(self) -> dict[int, int]:
        """Return `n` of the bars of a snapshot, by instrument."""
        bars = [data for event, data in await self.until("live") if event == "bar"]
        return {bar["instrument_id"]: bar["n"] for bar in bars}


@dataclass(frozen=True)
class Served:
    """An application on its own port."""

    client: httpx.AsyncClient
    live: LiveBars

    @contextlib.asynccontextmanager
    async def stream(
        self,
        *instruments: int | str,
        channel: str = "bars",
        ids: str = "number",
    ) -> AsyncIterator[Stream]:
        """Listen to instruments for the block, as soon as the server has found Redis."""
        async with contextlib.AsyncExitStack() as stack:

            @until_true
            async def answered() -> httpx.Response:
                requested = self.requested(*instruments, channel=channel, ids=ids)
                answer = await stack.enter_async_context(requested)
                assert answer.status_code == 200
                return answer

            yield Stream(await answered())

    def requested(
        self,
        *instruments: int | str,
        channel: str = "bars",
        ids: str = "number",
        **headers: str,
    ) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        """Return the answer to one request for a stream, for the block."""
        asked = {"instruments": ",".join(map(str, instruments)), "ids": ids}
        return self.client.stream("GET", f"/v1/stream/{channel}", params=asked, headers=headers)

    async def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        lines = (await self.client.get("/metrics")).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@contextlib.asynccontextmanager
async def served(redis_url: str, namespace: str, **more: Any) -> AsyncIterator[Served]:
    """Serve an application in this process, for the block."""
    port = free_port()
    settings = ApiSettings(
        redis_url=redis_url,
        namespace=namespace,
        kafka=plain(f"127.0.0.1:{free_port()}"),
        **more,
    )
    app = create_app(settings, now_ms=lambda: NOW_MS)
    server = Server(app, "127.0.0.1", port, hang_up_s=0)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE_S):
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.01)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits) as client:
        try:
            yield Served(client, server.lifespan.state["streams"])
        finally:
            server.lifespan.state["streams"].close()
            server.should_exit = True
            await asyncio.wait_for(serving, PATIENCE_S)


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


@dataclass(frozen=True)
class Worker:
    """Writes bars as workers do."""

    store: Store
    claims: dict[int, Claim]
    newest_s: dict[int, int] = field(default_factory=dict)
    """the newest minute of each instrument"""

    async def write(self, bars: Iterable[tuple[int, int, BarValue]]) -> None:
        """Write bars, each by its instrument and its minute in epoch s: a flush a partition.

        Each has the offset of a quote of its own.
        """
        groups: dict[int, list[Group]] = {}
        for instrument, minute_s, bar in bars:
            partition = instrument_partition(instrument, TOPOLOGY.quotes)
            key = self.store.keyspace.bars(partition, instrument)
            its = groups.setdefault(partition, [])
            offset = self.claims[partition].next_offset + len(its)
            placed = msgspec.structs.replace(bar, off=LogPosition(0, offset))
            encoded = msgspec.json.encode(placed).decode()
            newest_s = self.newest_s[instrument] = max(self.newest_s.get(instrument, 0), minute_s)
            fields = [NEWEST_FIELD, str(newest_s), str(minute_s), encoded]
            its.append(Group(key, command("HSET", fields), [(instrument, minute_s, encoded)]))
        for partition, its in groups.items():
            claim = self.claims[partition]
            channel = Channel(self.store.keyspace.bars_changed(partition), encode_changed_bars)
            await claim.write(Unwritten(its, channel=channel), claim.next_offset + len(its))


@contextlib.asynccontextmanager
async def worker(redis_url: str, namespace: str) -> AsyncIterator[Worker]:
    """Claim all partitions of quotes, for the block."""
    client = await connect_async(redis_url, "tests")
    store = Store(client, Keyspace(namespace))
    claims = {p: await claimed(store, QUOTES, p) for p in range(TOPOLOGY.quotes)}
    yield Worker(store, claims)
    await client.aclose()


async def claimed(store: Store, topic: Topic, partition: int) -> Claim:
    """Claim a partition, and go on where it stands."""
    position = await store.fence(topic, partition, FOLDING)
    next_offset = int(position.get(NEXT_FIELD) or 0)
    claim = Claim(
        store, topic, partition, position,
        next_offset=next_offset, incarnation=0, topic_id="one", folding=FOLDING,
        index=index_of(store.keyspace, topic, partition),
    )  # fmt: skip
    await claim.write(Unwritten(), next_offset)
    return claim
