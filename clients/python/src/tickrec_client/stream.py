"""Bars as they change: server-sent events, resumed after a lost connection."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import httpx
import msgspec

from .connection import Connection
from .problems import TickrecError, may_pass, retry_after_s
from .structs import Bar

RECONNECT_S: Final = 2.0
"""As the stream's `retry` says."""


class LiveBar(Bar, frozen=True, kw_only=True):
    """A minute bar of a stream: replaces the one with the same `t`."""

    instrument_id: int


class Unknown(msgspec.Struct, frozen=True):
    """Requested names that no instrument has; sent first, if there are any."""

    unknown: list[str]


class Live(msgspec.Struct, frozen=True):
    """The newest bars are complete; later bars are sent as they change."""


class Stale(msgspec.Struct, frozen=True):
    """From here to the next `Live`, changes may be missing."""

    reason: str


Change = Unknown | LiveBar | Live | Stale
KINDS: Final[Mapping[str, type[Change]]] = {
    "unknown": Unknown,
    "bar": LiveBar,
    "live": Live,
    "stale": Stale,
}


class Event(NamedTuple):
    """A server-sent event."""

    name: str
    data: str
    id: str
    """the last one sent with this event or an earlier one; empty if there was none"""


def changes(connection: Connection, instruments: Iterable[int | str]) -> Iterator[Change]:
    """Yield changes of bars, without end.

    First the unknown names, if there are any. Then the missed bars, after a lost connection, and
    the newest bar of each instrument, then `Live`, then each bar that changes.

    Raises:
        TickrecError: a retry would not succeed either.
    """
    query, last_id = {"instruments": tuple(instruments)}, ""
    while True:
        pause_s = RECONNECT_S
        headers = {"Last-Event-ID": last_id} if last_id else {}
        try:
            lines = connection.lines("/v1/stream/bars", query, headers)
            for event in server_sent_events(lines):
                last_id = event.id or last_id
                if (kind := KINDS.get(event.name)) is not None:
                    yield msgspec.json.decode(event.data, type=kind)
        except (TickrecError, httpx.TransportError) as error:
            if not may_pass(error):
                raise
            pause_s = max(pause_s, retry_after_s(error))
        yield Stale("disconnected")
        time.sleep(pause_s)


def server_sent_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a stream; an event without its final empty line is ignored.

    >>> list(server_sent_events(["event: bar", "data: {}", "id: 7", "", ": alive", "", "data: 1"]))
    [Event(name='bar', data='{}', id='7')]
    """
    name, data, last_id = "message", list[str](), ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value
        elif not line:
            if data:
                yield Event(name, "\n".join(data), last_id)
            name, data = "message", []
