"""Sends the events of a listener until either side ends it, and the answer of server-sent events.

A framework's streaming response waits for a slow client without a limit. This one ends when the
client has read nothing for a while, even if the server has data for it. `websocket` sends in the
same way.

A traced stream is one span, from the request to its end, with the number of bars and quotes sent
and the side that ended it. Messages from workers name no span, and there may be thousands of bars a
second: they have neither spans nor links to the flush that wrote them.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http.streams import STALLED_AFTER_S
from api.live.bars import LiveBars
from api.live.listener import Listener
from runtime.tracing import Tracing

PACE_S: Final = 0.1
"""The interval between writes: a flush of the workers arrives in some hundred chunks, and a write
costs much more than a bar in it. The first bar after a pause is sent at once."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # makes nginx pass each event on at once
}


class StalledError(Exception):
    """A client has read nothing for `STALLED_AFTER_S`."""


class Sender:
    """Sends the events of a listener, which leaves when the stream ends."""

    def __init__(self, live: LiveBars, listener: Listener, tracing: Tracing) -> None:
        self._live = live
        self._listener = listener
        self._tracing = tracing
        self._is_gone = False

    async def run(
        self,
        opening: bytes,
        send: Callable[[bytes], Awaitable[None]],
        attend: Callable[[], Awaitable[None]],
    ) -> None:
        """Send until the client disconnects or stalls, or the stream is ended.

        Args:
            opening: what is sent first.
            send: sends events; returns when the client has room for more.
            attend: returns when the client has disconnected; its errors end the stream.

        Raises:
            StalledError: the client reads nothing.
        """
        attending = asyncio.create_task(self._end_after(attend))
        try:
            await self._send_all(opening, send)
        except TimeoutError:
            self._note_end("stalled client")
            self._live.drop(self._listener)
            raise StalledError from None
        finally:
            attending.cancel()
            self._live.leave(self._listener)
        self._note_end("client" if self._is_gone else "server")
        if attending.done():
            attending.result()

    async def _send_all(self, opening: bytes, send: Callable[[bytes], Awaitable[None]]) -> None:
        said: bytes | None = opening
        while said is not None:
            async with asyncio.timeout(STALLED_AFTER_S):
                await send(said)
            await asyncio.sleep(PACE_S)
            said = await self._listener.take()

    async def _end_after(self, attend: Callable[[], Awaitable[None]]) -> None:
        try:
            await attend()
            self._is_gone = True
        finally:
            self._listener.end()

    def _note_end(self, ended_by: Literal["client", "server", "stalled client"]) -> None:
        """Record in the span how the stream ended."""
        self._tracing.note(
            {
                "tickrec.stream.instruments": len({i for _, i in self._listener.subscribed}),
                "tickrec.stream.events": self._listener.events_sent,
                "tickrec.stream.ended_by": ended_by,
            }
        )


class EventStream(Response):
    """Sends the events of a listener as server-sent events."""

    media_type = "text/event-stream"

    def __init__(
        self, live: LiveBars, listener: Listener, tracing: Tracing, opening: bytes
    ) -> None:
        # The parent's would declare an empty body.
        self.status_code = 200
        self.background = None
        self.init_headers(_HEADERS)
        self._sender = Sender(live, listener, tracing)
        self._opening = opening

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client disconnects or stalls, or the stream is ended."""

        async def part(events: bytes) -> None:
            await send({"type": "http.response.body", "body": events, "more_body": True})

        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        with contextlib.suppress(StalledError):  # without an end, the server closes the connection
            await self._sender.run(self._opening, part, until_gone)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
