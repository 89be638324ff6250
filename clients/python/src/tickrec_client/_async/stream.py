"""Bars and quotes as they change: server-sent events, resumed after a lost connection."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing

import httpx

from tickrec_client import stream_events
from tickrec_client.problems import TickrecError, may_pass, retry_after_s
from tickrec_client.stream_events import Change, EventParser, Stale, change_of

from .connection import AsyncConnection


async def changes(
    connection: AsyncConnection, path: str, instruments: Iterable[int | str]
) -> AsyncIterator[Change]:
    """Yield changes, without end: see `AsyncTickrec.stream_bars`."""
    query, last_id = {"instruments": tuple(instruments)}, ""
    while True:
        pause_s = stream_events.RECONNECT_S
        headers = {"Last-Event-ID": last_id} if last_id else {}
        parser = EventParser()
        try:
            async with aclosing(connection.lines(path, query, headers)) as lines:
                async for line in lines:
                    event = parser.event_at(line)
                    if event is None:
                        continue
                    last_id = event.id or last_id
                    if (change := change_of(event)) is not None:
                        yield change
        except (TickrecError, httpx.TransportError) as error:
            if not may_pass(error):
                raise
            pause_s = max(pause_s, retry_after_s(error))
        yield Stale("disconnected")
        await asyncio.sleep(pause_s)
