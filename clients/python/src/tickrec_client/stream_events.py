"""The events of streams, how they are read, and the commands of a WebSocket. Pure."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from .structs import Bar, BarsOfMany, Gap, LatestQuote

T = TypeVar("T")

RECONNECT_S: Final = 2.0
"""As the stream's `retry` says."""
_MINUTE_MS: Final = 60_000
_INSTRUMENTS_A_READ: Final = 100
_BARS_A_PAGE: Final = 10_000


class LiveBar(Bar, frozen=True, kw_only=True):
    """A minute bar of a stream: replaces the one with the same `t`."""

    instrument_id: int


class LiveQuote(LatestQuote, frozen=True, kw_only=True):
    """The newest quote of an instrument."""

    instrument_id: int


class Unknown(msgspec.Struct, frozen=True):
    """Requested names that no instrument has; sent first, if there are any."""

    unknown: list[str]


class Live(msgspec.Struct, frozen=True):
    """The newest bars and quotes are complete; later ones are sent as they change."""


class Stale(msgspec.Struct, frozen=True):
    """From here to the next `Live`, changes may be missing."""

    reason: str


class Subscribed(msgspec.Struct, frozen=True):
    """What is subscribed after a command: the names that were given, and their ids."""

    bars: dict[str, int]
    quotes: dict[str, int]


class Refused(msgspec.Struct, frozen=True):
    """A problem with a command, such as a name that no instrument has; the stream goes on."""

    code: int
    type: str
    msg: str


Change = Unknown | LiveBar | LiveQuote | Live | Stale | Gap
"""What happens in a stream of server-sent events. After a `Gap`, bars from `start` to before `end`
may have changed, and are not sent: `bars` has them."""
Received = LiveBar | LiveQuote | Live | Stale | Gap | Subscribed | Refused
"""What happens in a WebSocket."""
KINDS: Final[Mapping[str, type[Change]]] = {
    "unknown": Unknown,
    "bar": LiveBar,
    "quote": LiveQuote,
    "live": Live,
    "stale": Stale,
    "gap": Gap,
}
_RECEIVED: Final[Mapping[str, type[Received]]] = {
    "b": LiveBar,
    "q": LiveQuote,
    "live": Live,
    "stale": Stale,
    "gap": Gap,
    "subscription": Subscribed,
    "error": Refused,
}
"""By `T`."""


class Event(NamedTuple):
    """A server-sent event."""

    name: str
    data: str


class EventParser:
    """Takes the lines of a stream; an event without its final empty line is ignored."""

    def __init__(self) -> None:
        self._name, self._data = "message", list[str]()

    def event_at(self, line: str) -> Event | None:
        """Return the event that a line ends, if it ends one."""
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif not line:
            return self._ended()
        return None

    def _ended(self) -> Event | None:
        found = Event(self._name, "\n".join(self._data)) if self._data else None
        self._name, self._data = "message", []
        return found


def server_sent_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a stream.

    >>> list(server_sent_events(["event: bar", "data: {}", "", ": alive", "", "data: 1"]))
    [Event(name='bar', data='{}')]
    """
    parser = EventParser()
    return (event for line in lines if (event := parser.event_at(line)) is not None)


def change_of(event: Event) -> Change | None:
    """Return what an event says; None of a kind that this client does not know."""
    kind = KINDS.get(event.name)
    return None if kind is None else msgspec.json.decode(event.data, type=kind)


class _Head(msgspec.Struct):
    T: str


_raws: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_head: Final = msgspec.json.Decoder(_Head).decode


def received(message: str | bytes) -> Iterator[Received]:
    """Yield what a message of a WebSocket says.

    Events that this client does not know are left out.

    >>> list(received('[{"T":"success","msg":"connected"},{"T":"live"}]'))
    [Live()]
    """
    for raw in _raws(message):
        head = _head(raw)
        kind = _RECEIVED.get(head.T)
        if kind is not None:
            yield msgspec.json.decode(raw, type=kind)


class Missing:
    """The bars that a stream has missed: those before the newest one of each instrument.

    From a `Stale` to the next `Live`, bars wait: those that were missed are passed on first.
    """

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        """instrument -> start of its newest bar that was passed on"""
        self._waiting: list[LiveBar] | None = None

    def take(self, change: T) -> Sequence[T | LiveBar]:
        """Return what is passed on now; before a `Live`, the bars of `queries` come first."""
        if isinstance(change, Stale):
            self._waiting = []
        elif isinstance(change, Live):
            waiting, self._waiting = self._waiting or [], None
            return [*map(self._noted, waiting), change]
        elif isinstance(change, LiveBar):
            if self._waiting is not None:
                self._waiting.append(change)
                return []
            self._noted(change)
        return [change]

    def queries(self) -> Iterator[dict[str, Any]]:
        """Yield the queries for what was missed, each with all parameters but `page_token`.

        They begin a minute before the last bar: a late quote may have changed that one, too.
        """
        by_start = defaultdict(list)
        newest, active = self._newest(), max(self._last.values(), default=0) - _MINUTE_MS
        for instrument, t in newest.items():
            last = self._last.get(instrument)
            if last is not None and (t > last or last >= active):
                by_start[last - _MINUTE_MS].append(instrument)
        for start, instruments in by_start.items():
            for first in range(0, len(instruments), _INSTRUMENTS_A_READ):
                some = instruments[first : first + _INSTRUMENTS_A_READ]
                end = max(newest[instrument] for instrument in some)
                yield {"instruments": some, "start": start, "end": end, "limit": _BARS_A_PAGE}

    def bars(self, page: BarsOfMany) -> Iterator[LiveBar | Gap]:
        """Yield the missed bars of an answer, and its gap if it has one."""
        newest = self._newest()
        for name, bars in page.bars.items():
            instrument = int(name)
            for bar in bars:
                if bar.t < newest[instrument]:
                    fields = msgspec.structs.asdict(bar)
                    yield self._noted(LiveBar(**fields, instrument_id=instrument))
        if page.gap is not None:
            yield page.gap

    def _newest(self) -> dict[int, int]:
        """Return the newest minute of each instrument among the bars that wait."""
        found: dict[int, int] = {}
        for bar in self._waiting or ():
            found[bar.instrument_id] = max(bar.t, found.get(bar.instrument_id, 0))
        return found

    def _noted(self, bar: LiveBar) -> LiveBar:
        self._last[bar.instrument_id] = max(bar.t, self._last.get(bar.instrument_id, 0))
        return bar


_Names = dict[str, dict[str, None]]
_UNKNOWN: Final = 404
"""Names that no instrument has: the command is followed without them."""


class Wanted:
    """The instruments of a WebSocket, by the names that were given.

    Commands are answered in their order. One that was refused must not be sent again: it would be
    refused together with what was accepted before.
    """

    def __init__(self) -> None:
        self._of: _Names = {"bars": {}, "quotes": {}}
        self._unanswered: deque[tuple[str, _Names]] = deque()

    def change(self, action: str, bars: Iterable[int | str], quotes: Iterable[int | str]) -> str:
        """Note a command, and return it."""
        named = {"bars": dict.fromkeys(map(str, bars)), "quotes": dict.fromkeys(map(str, quotes))}
        self._unanswered.append((action, named))
        return _command(action, named)

    def answered(self, event: Received) -> None:
        """Take note of an event, if it is the answer to a command."""
        is_refused = isinstance(event, Refused) and event.code != _UNKNOWN
        if not (is_refused or isinstance(event, Subscribed)) or not self._unanswered:
            return
        action, named = self._unanswered.popleft()
        if is_refused:
            return
        for channel, names in named.items():
            if action == "subscribe":
                self._of[channel] |= names
            else:
                self._of[channel] = {n: None for n in self._of[channel] if n not in names}

    def again(self) -> list[str]:
        """Return the commands for a new connection: what was accepted, then what has no answer.

        >>> wanted = Wanted()
        >>> wanted.change("subscribe", [4], [])
        '{"action":"subscribe","bars":["4"],"quotes":[]}'
        >>> wanted.again()
        ['{"action":"subscribe","bars":["4"],"quotes":[]}']
        """
        if any(self._of.values()):
            self._unanswered.appendleft(("subscribe", self._of))
            self._of = {"bars": {}, "quotes": {}}
        return [_command(action, named) for action, named in self._unanswered]


def _command(action: str, named: _Names) -> str:
    names = {channel: list(names) for channel, names in named.items()}
    return msgspec.json.encode({"action": action, **names}).decode()
