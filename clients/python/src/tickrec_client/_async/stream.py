"""Bars and quotes as they change: server-sent events, resumed after a lost connection."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import TypeVar

import httpx

from tickrec_client import stream_events
from tickrec_client.problems import TickrecError, may_pass, retry_after_s
from tickrec_client.stream_events import (
    Change,
    EventParser,
    Live,
    LiveBar,
    Missing,
    Stale,
    change_of,
)
from tickrec_client.structs import BarsOfMany, Gap

from .connection import AsyncConnection

T = TypeVar("T")


async def passed_on(
    connection: AsyncConnection, missing: Missing, change: T
) -> AsyncIterator[T | LiveBar | Gap]:
    """Yield what may be passed on now; before a `Live`, the bars of `/v1/bars` that were missed."""
    if isinstance(change, Live):
        for query in missing.queries():
            async for page in connection.all_pages(BarsOfMany, "/v1/bars", query):
                for bar in missing.bars(page):
                    yield bar
    for each in missing.take(change):
        yield each


async def changes(
    connection: AsyncConnection, path: str, instruments: Iterable[int | str]
) -> AsyncIterator[Change]:
    """Yield changes, without end: see `AsyncTickrec.stream_bars`."""
    query, missing = {"instruments": tuple(instruments)}, Missing()
    while True:
        pause_s = stream_events.RECONNECT_S
        parser = EventParser()
        try:
            async with aclosing(connection.lines(path, query)) as lines:
                async for line in lines:
                    event = parser.event_at(line)
                    if event is None or (change := change_of(event)) is None:
                        continue
                    async for each in passed_on(connection, missing, change):
                        yield each
        except (TickrecError, httpx.TransportError) as error:
            if not may_pass(error):
                raise
            pause_s = max(pause_s, retry_after_s(error))
        for each in missing.take(Stale("disconnected")):
            yield each
        await asyncio.sleep(pause_s)
