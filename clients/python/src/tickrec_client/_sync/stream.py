"""Bars and quotes as they change: server-sent events, resumed after a lost connection."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
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

from .connection import Connection

T = TypeVar("T")


def passed_on(connection: Connection, missing: Missing, change: T) -> Iterator[T | LiveBar | Gap]:
    """Yield what may be passed on now; before a `Live`, the bars of `/v1/bars` that were missed."""
    if isinstance(change, Live):
        for query in missing.queries():
            for page in connection.all_pages(BarsOfMany, "/v1/bars", query):
                yield from missing.bars(page)
    yield from missing.take(change)


def changes(
    connection: Connection, path: str, instruments: Iterable[int | str]
) -> Iterator[Change]:
    """Yield changes, without end: see `Tickrec.stream_bars`."""
    query, missing = {"instruments": tuple(instruments)}, Missing()
    while True:
        pause_s = stream_events.RECONNECT_S
        parser = EventParser()
        try:
            with closing(connection.lines(path, query)) as lines:
                for line in lines:
                    event = parser.event_at(line)
                    if event is None or (change := change_of(event)) is None:
                        continue
                    for each in passed_on(connection, missing, change):
                        yield each
        except (TickrecError, httpx.TransportError) as error:
            if not may_pass(error):
                raise
            pause_s = max(pause_s, retry_after_s(error))
        for each in missing.take(Stale("disconnected")):
            yield each
        time.sleep(pause_s)
