"""Encodes the events of a stream as bytes. Pure.

The format is server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html.
A WebSocket sends the same events as JSON, with their names in `T`, as Alpaca's does.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from api.bars.aggregation import Window, roll_up
from api.bars.answers import Bar
from api.bars.intervals import MINUTE
from contracts.bars import BarValue

HEARTBEAT: Final = b":\n\n"
"""A comment, sent when there is nothing else: it keeps proxies from closing the connection."""
OPENING: Final = b"retry: 2000\n\n"
"""After how many ms a client should reconnect."""

StaleReason = Literal["redis-away"]


class LiveBar(Bar, frozen=True, gc=False, kw_only=True):
    """A minute bar of an instrument, the data of a `bar` event."""

    instrument_id: int


_NAME_OF: Final = {b"bar": b"b", b"live": b"live", b"stale": b"stale"}
"""`T` of each event."""
_encode: Final = msgspec.json.Encoder().encode


def unknown_frame(symbols: Sequence[str]) -> bytes:
    r"""Return the event that lists the requested symbols that no instrument has.

    >>> unknown_frame(["XYZ"])
    b'event: unknown\ndata: {"unknown":["XYZ"]}\n\n'
    """
    return b"event: unknown\ndata: %b\n\n" % _encode({"unknown": symbols})


def bar_frame(
    instrument_id: int, minute_ms: int, value: BarValue, now_ms: int, event_id: int
) -> bytes:
    """Return the event of a minute bar; `closed` depends on the clock `now_ms`."""
    (bar,) = roll_up([(minute_ms, value)], Window(minute_ms, minute_ms, MINUTE), now_ms)
    data = _encode(LiveBar(**msgspec.structs.asdict(bar), instrument_id=instrument_id))
    return b"event: bar\ndata: %b\nid: %d\n\n" % (data, event_id)


def live_frame(event_id: int) -> bytes:
    r"""Return the event that says that the newest bars are complete.

    >>> live_frame(1629061628123)
    b'event: live\ndata: {}\nid: 1629061628123\n\n'
    """
    return b"event: live\ndata: {}\nid: %d\n\n" % event_id


def stale_frame(reason: StaleReason) -> bytes:
    r"""Return the event that says that changes may be missing until the next `live`.

    >>> stale_frame("redis-away")
    b'event: stale\ndata: {"reason":"redis-away"}\n\n'
    """
    return b"event: stale\ndata: %b\n\n" % _encode({"reason": reason})


def as_message(events: bytes) -> bytes:
    r"""Return events as the JSON array that a WebSocket sends; empty if there are only comments.

    >>> as_message(stale_frame("redis-away") + live_frame(1629061628123))
    b'[{"T":"stale","reason":"redis-away"},{"T":"live","id":1629061628123}]'
    """
    found = [_object(event) for event in events.split(b"\n\n") if event.startswith(b"event")]
    return b"[%b]" % b",".join(found) if found else b""


def _object(event: bytes) -> bytes:
    fields = dict(line.split(b": ", 1) for line in event.split(b"\n"))
    members = [b'"T":"%b"' % _NAME_OF[fields[b"event"]]]
    if b"id" in fields:
        members.append(b'"id":%b' % fields[b"id"])
    if fields[b"data"] != b"{}":
        members.append(fields[b"data"][1:-1])
    return b"{%b}" % b",".join(members)
