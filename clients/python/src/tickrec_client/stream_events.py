"""The events of the stream of bars, and how they are read from its lines. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

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


class EventParser:
    """Takes the lines of a stream; an event without its final empty line is ignored."""

    def __init__(self) -> None:
        self._name, self._data, self._last_id = "message", list[str](), ""

    def event_at(self, line: str) -> Event | None:
        """Return the event that a line ends, if it ends one."""
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._last_id = value
        elif not line:
            return self._ended()
        return None

    def _ended(self) -> Event | None:
        found = Event(self._name, "\n".join(self._data), self._last_id) if self._data else None
        self._name, self._data = "message", []
        return found


def server_sent_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a stream.

    >>> list(server_sent_events(["event: bar", "data: {}", "id: 7", "", ": alive", "", "data: 1"]))
    [Event(name='bar', data='{}', id='7')]
    """
    parser = EventParser()
    return (event for line in lines if (event := parser.event_at(line)) is not None)


def change_of(event: Event) -> Change | None:
    """Return what an event says; None of a kind that this client does not know."""
    kind = KINDS.get(event.name)
    return None if kind is None else msgspec.json.decode(event.data, type=kind)
