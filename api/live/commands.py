"""What clients of a WebSocket may send, and how it changes what they receive. Pure.

The form is Alpaca's: `{"action":"subscribe","bars":[4,"AAPL"]}`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from api.http.parsing import Resolve, instrument_named
from api.http.problems import (
    INVALID_REQUEST,
    MALFORMED_JSON,
    UNKNOWN_INSTRUMENT,
    Problem,
    broken_rule,
)

MAX_INSTRUMENTS: Final = 500
"""Of one stream."""

Names = Mapping[int, str]
"""The subscribed instruments: id -> the name by which the client subscribed to it."""


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of a client."""

    action: Literal["subscribe", "unsubscribe"]
    bars: list[Annotated[int, msgspec.Meta(ge=0)] | str]
    """ids and symbols"""


class Changed(NamedTuple):
    """What a command leads to."""

    names: Names
    unknown: Sequence[str]
    """symbols that no instrument has"""


_decode: Final = msgspec.json.Decoder(Command).decode


def command_of(message: bytes | str) -> Command:
    """Return the command in a message.

    Raises:
        Problem: it is not JSON, or breaks a rule.
    """
    try:
        return _decode(message)
    except msgspec.ValidationError as error:
        raise Problem(INVALID_REQUEST, f"{error}, in {_quoted(message)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(MALFORMED_JSON, f"{error}, in {_quoted(message)}") from None


def changed_by(command: Command, names: Names, resolve: Resolve) -> Changed:
    """Return what is subscribed after a command; an instrument keeps its first name.

    >>> changed_by(Command("subscribe", [4, "aapl", "XYZ"]), {4: "4"}, {"aapl": 5}.get)
    Changed(names={4: '4', 5: 'aapl'}, unknown=['XYZ'])
    >>> changed_by(Command("unsubscribe", ["aapl", 7]), {4: "4", 5: "aapl"}, {"aapl": 5}.get)
    Changed(names={4: '4'}, unknown=[])

    Raises:
        Problem: an id is out of range, or there would be over `MAX_INSTRUMENTS`.
    """
    found = {str(name): _instrument(str(name), resolve) for name in command.bars}
    unknown = [name for name, i in found.items() if i is None]
    if command.action == "unsubscribe":
        gone = set(found.values())
        return Changed({i: name for i, name in names.items() if i not in gone}, unknown)
    added = {i: name for name, i in reversed(found.items()) if i is not None}
    after = {**dict(sorted(added.items())), **names}
    if len(after) > MAX_INSTRUMENTS:
        reason = f"at most {MAX_INSTRUMENTS} instruments in one stream, this would be {len(after)}"
        raise broken_rule("bars", f"{reason}: unsubscribe from some, or open another stream")
    return Changed(dict(sorted(after.items())), unknown)


def connected() -> bytes:
    """Return the first message."""
    return _message({"T": "success", "msg": "connected"})


def subscription(names: Names) -> bytes:
    """Return the message that lists what is subscribed.

    >>> subscription({5: "aapl"})
    b'[{"T":"subscription","bars":{"aapl":5}}]'
    """
    return _message({"T": "subscription", "bars": {name: i for i, name in names.items()}})


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


def _instrument(name: str, resolve: Resolve) -> int | None:
    try:
        return instrument_named(name, resolve)
    except ValueError as error:
        raise broken_rule("bars", f"{error}, not {name!r:.100}") from None


def _message(event: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode([event])


def _quoted(message: bytes | str) -> str:
    text = message.decode(errors="replace") if isinstance(message, bytes) else message
    return f"{text!r:.100}"
