"""Bars and quotes as they change: server-sent events, resumed after a lost connection."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing

import httpx

from tickrec_client import stream_events
from tickrec_client.problems import TickrecError, may_pass, retry_after_s
from tickrec_client.stream_events import Change, EventParser, Stale, change_of

from .connection import Connection


def changes(
    connection: Connection, path: str, instruments: Iterable[int | str]
) -> Iterator[Change]:
    """Yield changes, without end: see `Tickrec.stream_bars`."""
    query, last_id = {"instruments": tuple(instruments)}, ""
    while True:
        pause_s = stream_events.RECONNECT_S
        headers = {"Last-Event-ID": last_id} if last_id else {}
        parser = EventParser()
        try:
            with closing(connection.lines(path, query, headers)) as lines:
                for line in lines:
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
        time.sleep(pause_s)
