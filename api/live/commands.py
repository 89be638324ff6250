"""What clients of a WebSocket may send, and how it changes what they receive. Pure.

The form is Alpaca's: `{"action":"subscribe","bars":[4,"AAPL"],"quotes":["AAPL"]}`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple, get_args

import msgspec

from api.http.parsing import Resolve, instrument_named
from api.http.problems import (
    INVALID_REQUEST,
    MALFORMED_JSON,
    UNKNOWN_INSTRUMENT,
    Problem,
    broken_rule,
)
from api.live.answers import Form
from api.live.listener import Channel, Subscription
from contracts.reasons import Violation, violation

MAX_INSTRUMENTS: Final = 500
"""Of one stream."""
CHANNELS: Final[Sequence[Channel]] = get_args(Channel)

Names = Mapping[Subscription, str]
"""What is subscribed, with the names by which the client subscribed to it."""
Named = list[Annotated[int, msgspec.Meta(ge=0)] | str]
"""ids and symbols"""


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="action"):
    bars: Named | None = None
    quotes: Named | None = None


class Subscribe(_Command, frozen=True, tag="subscribe"):
    """Adds subscriptions."""


class Unsubscribe(_Command, frozen=True, tag="unsubscribe"):
    """Ends subscriptions."""


Command = Subscribe | Unsubscribe
"""A message of a client."""


class Changed(NamedTuple):
    """What a command leads to."""

    names: Names
    unknown: Sequence[str]
    """symbols that no instrument has"""


_decode: Final = msgspec.json.Decoder(Command).decode


def command_of(message: bytes | str) -> Command:
    """Return the command in a message.

    Raises:
        Problem: it is not JSON, or invalid.
    """
    try:
        command: Command = _decode(message)
    except msgspec.ValidationError as error:
        field, rule = violation(error, message, _Command)
        rule = "must be subscribe or unsubscribe" if field == "action" else rule
        raise Problem(INVALID_REQUEST, f"{Violation(field, rule)}, in {_quoted(message)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(MALFORMED_JSON, f"{error}, in {_quoted(message)}") from None
    if command.bars is None and command.quotes is None:
        reason = "Name instruments in `bars`, in `quotes` or in both"
        raise Problem(INVALID_REQUEST, f"{reason}, not {_quoted(message)}")
    return command


def changed_by(command: Command, names: Names, resolve: Resolve) -> Changed:
    """Return what is subscribed after a command; an instrument keeps its first name.

    >>> before = {Subscription("bars", 4): "4"}
    >>> changed_by(Subscribe(quotes=[4, "aapl", "XYZ"]), before, {"aapl": 5}.get)
    ... # doctest: +NORMALIZE_WHITESPACE
    Changed(names={Subscription(channel='bars', instrument_id=4): '4',
                   Subscription(channel='quotes', instrument_id=4): '4',
                   Subscription(channel='quotes', instrument_id=5): 'aapl'},
            unknown=['XYZ'])
    >>> changed_by(Unsubscribe(bars=["4", 7]), before, {}.get)
    Changed(names={}, unknown=[])

    Raises:
        Problem: an id is out of range, or there would be over `MAX_INSTRUMENTS`.
    """
    found: dict[Subscription, str] = {}
    unknown: list[str] = []
    for channel in CHANNELS:
        for name in map(str, getattr(command, channel) or ()):
            instrument_id = _instrument(channel, name, resolve)
            if instrument_id is None:
                unknown.append(name)
            else:
                found.setdefault(Subscription(channel, instrument_id), name)
    if isinstance(command, Subscribe):
        after = {**found, **names}
        _check_number({instrument_id for _, instrument_id in after})
    else:
        after = {one: name for one, name in names.items() if one not in found}
    return Changed(dict(sorted(after.items())), list(dict.fromkeys(unknown)))


def connected() -> bytes:
    """Return the first message."""
    return _message({"T": "success", "msg": "connected"})


def subscription(names: Names, form: Form) -> bytes:
    """Return the message that lists what is subscribed.

    >>> from api.live.answers import WEBSOCKET
    >>> subscription({Subscription("bars", 5): "aapl"}, WEBSOCKET["number"])
    b'[{"T":"subscription","bars":{"aapl":5},"quotes":{}}]'
    """
    ids: dict[str, dict[str, int | str]] = {channel: {} for channel in CHANNELS}
    for (channel, instrument_id), name in names.items():
        ids[channel][name] = str(instrument_id) if form.has_strings else instrument_id
    return _message({"T": "subscription", **ids})


def error(problem: Problem) -> bytes:
    """Return the message of a problem: its status, its type and its detail.

    >>> error(Problem(MALFORMED_JSON, "truncated"))
    b'[{"T":"error","code":400,"type":"urn:tickrec:problem:malformed-json","msg":"truncated"}]'
    """
    kind = problem.kind
    return _message({"T": "error", "code": kind.status, "type": kind.uri, "msg": problem.detail})


def unknown_symbols(symbols: Iterable[str]) -> Problem:
    """Return the problem of symbols that no instrument has."""
    listed = ", ".join(map(repr, symbols))
    return Problem(UNKNOWN_INSTRUMENT, f"No instrument has any of these symbols: {listed:.200}")


def _instrument(channel: Channel, name: str, resolve: Resolve) -> int | None:
    try:
        return instrument_named(name, resolve)
    except ValueError as error:
        raise broken_rule(channel, f"{error}, not {name!r:.100}") from None


def _check_number(instruments: set[int]) -> None:
    n = len(instruments)
    if n > MAX_INSTRUMENTS:
        reason = f"at most {MAX_INSTRUMENTS} instruments in one stream, this would be {n}"
        raise broken_rule("bars", f"{reason}: unsubscribe from some, or open another stream")


def _message(event: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode([event])


def _quoted(message: bytes | str) -> str:
    text = message.decode(errors="replace") if isinstance(message, bytes) else message
    return f"{text!r:.100}"
