"""Clients of the WebSocket of a served application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.patience import PATIENCE_S, until_true

from .streaming import Served

Message = dict[str, Any]


class Client:
    """One WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._events: list[Message] = []

    async def say(
        self,
        action: str,
        *bars: int | str,
        quotes: Iterable[int | str] | None = None,
    ) -> Message:
        """Send a command, and return the next answer to one."""
        asked = {"bars": bars or None, "quotes": quotes}
        given = {name: value for name, value in asked.items() if value is not None}
        command = msgspec.json.encode({"action": action, **given})
        await self.connection.send(command.decode())
        return await self.next("subscription", "error")

    async def next(self, *kinds: str) -> Message:
        """Return the next event of some kinds, without those before it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._events:
                    event = self._events.pop(0)
                    if event["T"] in kinds:
                        return event
                self._events += msgspec.json.decode(await self.connection.recv())

    async def bars_until_live(self) -> dict[int, int]:
        """Return `n` of the bars of a snapshot, by instrument."""
        found: dict[int, int] = {}
        while (event := await self.next("b", "live"))["T"] == "b":
            found[event["instrument_id"]] = event["n"]
        return found


def opened(
    application: Served, name: str = "127.0.0.1", query: str = "", **headers: str
) -> connect:
    """Return the opening of a WebSocket of a server that is called `name`."""
    port = application.client.base_url.port
    url = f"ws://{name}:{port}/v1/stream{query}"
    return connect(url, host="127.0.0.1", port=port, additional_headers=headers, proxy=None)


@contextlib.asynccontextmanager
async def client_of(application: Served, query: str = "", **headers: str) -> AsyncIterator[Client]:
    """Open a WebSocket for the block, as soon as the server has found Redis."""

    @until_true
    async def accepted() -> ClientConnection:
        try:
            return await opened(application, query=query, **headers)
        except InvalidStatus as error:
            raise AssertionError(error.response.body) from None

    async with await accepted() as connection:
        client = Client(connection)
        assert await client.next("success") == {"T": "success", "msg": "connected"}
        yield client
