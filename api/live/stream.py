"""The streaming answer: sends the events of a listener until either side ends it.

A framework's streaming response waits for a slow client without a limit. This one ends when the
client has read nothing for a while, even if the server has data for it.

A traced stream is one span, from the request to its end, with the number of bars sent and the side
that ended it. Messages from workers name no span, and there may be thousands of bars a second: bars
have neither spans nor links to the flush that wrote them.
"""

import asyncio
from typing import Final, Literal

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.live.bars import LiveBars
from api.live.listener import Listener
from runtime.tracing import Tracing

STALLED_AFTER_S: Final = 30.0
PACE_S: Final = 0.1
"""The interval between writes: a flush of the workers arrives in some hundred chunks, and a write
costs much more than a bar in it. The first bar after a pause is sent at once."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # makes nginx pass each event on at once
}


class EventStream(Response):
    """Sends the events of a listener, which leaves when the stream ends."""

    media_type = "text/event-stream"

    def __init__(
        self, live: LiveBars, listener: Listener, tracing: Tracing, opening: bytes
    ) -> None:
        # The parent's would declare an empty body.
        self.status_code = 200
        self.background = None
        self.init_headers(_HEADERS)
        self._live = live
        self._listener = listener
        self._tracing = tracing
        self._opening = opening
        self._is_gone = False

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client disconnects or stalls, or the stream is ended."""
        watching = asyncio.create_task(self._end_when_gone(receive))
        try:
            await self._send_all(send)
        except TimeoutError:
            self._note_end("stalled client")
            self._live.drop(self._listener)
        finally:
            watching.cancel()
            self._live.leave(self._listener)

    async def _send_all(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        said = self._opening
        while said:
            async with asyncio.timeout(STALLED_AFTER_S):
                await send({"type": "http.response.body", "body": said, "more_body": True})
            await asyncio.sleep(PACE_S)
            said = await self._listener.take()
        self._note_end("client" if self._is_gone else "server")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _end_when_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._listener.end()

    def _note_end(self, ended_by: Literal["client", "server", "stalled client"]) -> None:
        """Record in the span how the stream ended."""
        self._tracing.note(
            {
                "tickrec.stream.instruments": len(self._listener.instruments),
                "tickrec.stream.bars": self._listener.bars_sent,
                "tickrec.stream.ended_by": ended_by,
            }
        )
