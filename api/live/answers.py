"""The events of a stream, and the forms in which clients receive them. Pure.

An event is encoded once in each form, however many clients receive it: as server-sent events,
https://html.spec.whatwg.org/multipage/server-sent-events.html, or as the objects that a WebSocket
sends, with their names in `T`, as Alpaca's do; and with ids of instruments as numbers or strings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from api.bars.aggregation import Window, roll_up
from api.bars.answers import Bar, Gap, LatestQuote
from api.bars.intervals import MINUTE
from api.http.instrument_refs import as_strings
from contracts.bars import BarValue

OPENING: Final = b"retry: 2000\n\n"
"""After how many ms a client of server-sent events should reconnect."""

Kind = Literal["unknown", "bar", "quote", "live", "stale", "gap"]
StaleReason = Literal["redis-away"]

_NAME_OF: Final[Mapping[Kind, bytes]] = {"bar": b"b", "quote": b"q"}
"""`T` of those whose name is another in a WebSocket."""
_IDS: Final = (("instrument_id",),)
_encode: Final = msgspec.json.Encoder().encode


class LiveBar(Bar, frozen=True, gc=False, kw_only=True):
    """A minute bar of an instrument, the data of an event `bar`."""

    instrument_id: int


class LiveQuote(LatestQuote, frozen=True, gc=False, kw_only=True):
    """The newest quote of an instrument, the data of an event `quote`."""

    instrument_id: int


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    r"""How a client receives events.

    >>> SERVER_SENT["number"].message([SERVER_SENT["number"].event("live", b"{}")])
    b'event: live\ndata: {}\n\n'
    >>> WEBSOCKET["number"].message([WEBSOCKET["number"].event("live", b"{}")])
    b'[{"T":"live"}]'
    """

    is_websocket: bool
    has_strings: bool
    """whether ids of instruments are strings"""

    @property
    def heartbeat(self) -> bytes:
        """What is sent when there is nothing else; empty: nothing is, as the server pings."""
        comment = b":\n\n"  # keeps proxies from closing the connection
        return b"" if self.is_websocket else comment

    def event(self, kind: Kind, data: bytes) -> bytes:
        """Return an event whose data is a JSON object: an object, or lines."""
        if not self.is_websocket:
            return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
        name = _NAME_OF.get(kind) or kind.encode()
        return b'{"T":"%b"%b%b' % (name, b"" if data == b"{}" else b",", data[1:])

    def message(self, events: Sequence[bytes]) -> bytes:
        """Return events, at least one, as they are sent: an array, or one after the other."""
        return b"[%b]" % b",".join(events) if self.is_websocket else b"".join(events)


_HAVE_STRINGS: Final = {"number": False, "string": True}
SERVER_SENT: Final = {
    ids: Form(is_websocket=False, has_strings=are) for ids, are in _HAVE_STRINGS.items()
}
WEBSOCKET: Final = {
    ids: Form(is_websocket=True, has_strings=are) for ids, are in _HAVE_STRINGS.items()
}
"""By the value of `ids`."""


class Frame(dict[Form, bytes]):
    r"""An event, by the form that it is sent in; it is encoded when it is first read in one.

    >>> Frame("quote", LiveQuote(15.5, 60000, instrument_id=4))[WEBSOCKET["string"]]
    b'{"T":"q","price":15.5,"ts":60000,"instrument_id":"4"}'
    """

    __slots__ = ("content", "kind")

    def __init__(self, kind: Kind, content: Any) -> None:
        super().__init__()
        self.kind = kind
        self.content = content

    def __missing__(self, form: Form) -> bytes:
        data = _encode(self.content)
        if form.has_strings and self.kind in ("bar", "quote"):
            data = as_strings(data, _IDS)
        self[form] = form.event(self.kind, data)
        return self[form]


LIVE: Final = Frame("live", {})
"""The newest bars and quotes are complete."""


def unknown_frame(symbols: Sequence[str]) -> Frame:
    """Return the event that lists the requested symbols that no instrument has."""
    return Frame("unknown", {"unknown": symbols})


def bar_frame(instrument_id: int, minute_ms: int, value: BarValue, now_ms: int) -> Frame:
    """Return the event of a minute bar; `closed` depends on the clock `now_ms`."""
    (bar,) = roll_up([(minute_ms, value)], Window(minute_ms, minute_ms, MINUTE), now_ms)
    return Frame("bar", LiveBar(**msgspec.structs.asdict(bar), instrument_id=instrument_id))


def quote_frame(instrument_id: int, value: BarValue) -> Frame:
    """Return the event of the newest quote, that of the newest minute's bar."""
    return Frame("quote", LiveQuote(value.c, value.ct, instrument_id=instrument_id))


def stale_frame(reason: StaleReason) -> Frame:
    """Return the event that says that changes may be missing until the next `live`."""
    return Frame("stale", {"reason": reason})


def gap_frame(gap: Gap) -> Frame:
    """Return the event that says that changed bars of some minutes are not sent."""
    return Frame("gap", gap)
