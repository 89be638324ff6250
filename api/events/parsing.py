"""Parses the bodies of write requests into messages, by the contracts' rules. Pure.

A request is accepted as a whole or not at all: everything is validated before anything is
published.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from api.events.bodies import SENT_INTERACTION, SENT_QUOTE, LegacyEvent
from api.http.bodies import MAX_EVENTS, strict_decoder
from api.http.instrument_refs import FIELD, id_of, no_symbols
from api.http.parsing import Resolve
from api.http.problems import INVALID_EVENTS, MALFORMED_JSON, Failure, Problem
from contracts.input_rules import ANY, InputRules
from contracts.messages import Interaction, Quote, check_interaction, check_quote, decode_alone
from contracts.reasons import violation
from contracts.times import MAX_TS_MS

MAX_REPORTED: Final = 20
"""How many of the invalid events are listed."""

Message: TypeAlias = Quote | Interaction
M = TypeVar("M")
T = TypeVar("T")

_FIELD: Final = re.compile(r"([\w.\[\]-]+): |(ts|user_id|request_id|instrument_id|size|event) ")
_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LEGACY_NAMES: Final = {
    "user_id": "userid",
    "instrument_id": "instrid",
    "price": "price",
    "ts": "timestamp",
}

_Kind = Literal["quote", "interaction"]


class _Tag(msgspec.Struct):
    """The type of an event; its other fields are those of the message."""

    type: _Kind


class EventError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an event is rejected."""

    index: int
    """index of the event in the request"""
    reason: str
    field: str | None = None
    """the invalid field, if it is a single one"""


class MalformedBodyError(ValueError, Failure):
    """The body is not JSON."""

    def problem(self) -> Problem:
        """Return the problem that the client gets."""
        return Problem(MALFORMED_JSON, str(self))


class InvalidEventsError(ValueError, Failure):
    """Some events are invalid."""

    def __init__(self, detail: str, errors: Sequence[EventError] = ()) -> None:
        super().__init__(detail)
        self.errors = list(errors)

    def problem(self) -> Problem:
        """Return the problem that the client gets."""
        return Problem(INVALID_EVENTS, str(self), errors=msgspec.to_builtins(self.errors))


_events = msgspec.json.Decoder(list[msgspec.Raw])

_tag = msgspec.json.Decoder(_Tag)
_strict: Final[Mapping[_Kind, msgspec.json.Decoder[Message]]] = {
    "quote": strict_decoder(SENT_QUOTE, tag="quote"),
    "interaction": strict_decoder(SENT_INTERACTION, tag="interaction"),
}
_event: msgspec.json.Decoder[Message] = msgspec.json.Decoder(
    _strict["quote"].type | _strict["interaction"].type
)
_array = msgspec.json.Decoder(list[_event.type])  # type: ignore[name-defined]
_legacy = msgspec.json.Decoder(LegacyEvent)
_anything = msgspec.json.Decoder()


def parse_events(
    body: bytes, now_ms: int, rules: InputRules = ANY, resolve: Resolve = no_symbols
) -> list[Message]:
    """Return the messages of a body: one event, or an array of up to `MAX_EVENTS`.

    `resolve` finds instruments by their symbols.

    Raises:
        MalformedBodyError: it is not JSON.
        InvalidEventsError: an event is invalid, or there are none or too many.
    """
    messages = _valid_array(body, now_ms, rules, resolve)
    if messages is not None:
        return messages
    return parse_each(body, lambda event: _message_of(event, now_ms, rules, resolve))


def parse_each(body: bytes, parse: Callable[[bytes], M], what: str = "events") -> list[M]:
    """Return the result of `parse` for each event of a body, like `parse_events`.

    It raises ValueError on an invalid event, with the reason as its text.
    """
    is_array = body.lstrip().startswith(b"[")
    events = [bytes(event) for event in _decoded(_events, body)] if is_array else [body]
    if not 1 <= len(events) <= MAX_EVENTS:
        raise InvalidEventsError(f"1 to {MAX_EVENTS} {what} are allowed, got {len(events)}")
    messages: list[M] = []
    errors: list[EventError] = []
    for index, event in enumerate(events):
        try:
            messages.append(parse(event))
        except (ValueError, RecursionError) as error:
            reason = str(error)
            errors.append(EventError(index, reason, field_of(reason)))
    if errors:
        if not is_array:
            _decoded(_anything, body)  # what is not JSON is no event either
        raise InvalidEventsError(_detail(errors, len(events), what), errors[:MAX_REPORTED])
    return messages


def parse_legacy(
    body: bytes, now_ms: int, rules: InputRules = ANY
) -> tuple[LegacyEvent, Quote, Interaction]:
    """Return the trade of a body in the first version's form, and the messages that it stands for.

    Raises:
        MalformedBodyError: it is not JSON.
        InvalidEventsError: it is invalid; fields have the first version's names.
    """
    try:
        event = _legacy.decode(body)
    except msgspec.ValidationError as error:
        found = violation(error, body, LegacyEvent)
        raise _legacy_error(str(found), found.field) from None
    except _NOT_JSON as error:
        raise MalformedBodyError(str(error)) from None
    price, seconds = _number(event.price, "price"), _number(event.timestamp, "timestamp")
    if not 0 <= seconds * 1000 <= MAX_TS_MS:
        reason = f"timestamp: must be epoch seconds up to {MAX_TS_MS // 1000}, got {seconds:.15g}"
        raise _legacy_error(reason, "timestamp")
    of_both = {"instrument_id": event.instrid, "price": price, "ts": round(seconds * 1000)}
    of_trade = {"user_id": event.userid, **of_both}
    try:
        quote, trade = msgspec.convert(of_both, Quote), msgspec.convert(of_trade, Interaction)
        check_quote(quote, now_ms, rules)
        check_interaction(trade, now_ms, rules)
    except msgspec.ValidationError as error:
        field, rule = violation(error, of_trade)
        name = _LEGACY_NAMES.get(field, field)
        raise _legacy_error(f"{name}: {rule}", name) from None
    except ValueError as error:
        field = field_of(str(error)) or ""
        raise _legacy_error(str(error), _LEGACY_NAMES.get(field)) from None
    return event, quote, trade


def field_of(reason: str) -> str | None:
    """Return the field named in a reason of the contracts, None if it names none.

    >>> field_of("price: must be a number of at least 1e-18, got -1")
    'price'
    """
    found = _FIELD.match(reason)
    return found[1] or found[2] if found else None


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return a decoded body; MalformedBodyError if it is not JSON."""
    try:
        return decoder.decode(body)
    except _NOT_JSON as error:
        raise MalformedBodyError(str(error)) from None


def _message_of(event: bytes, now_ms: int, rules: InputRules, resolve: Resolve) -> Message:
    """Return the message of an event; ValueError if it is invalid."""
    try:
        sent = _event.decode(event)
    except (ValueError, RecursionError):  # the decoder of a single type has better reasons
        sent = decode_alone(_strict[decode_alone(_tag, event).type], event)
    return _checked(sent, now_ms, rules, resolve)


def _valid_array(
    body: bytes, now_ms: int, rules: InputRules, resolve: Resolve
) -> list[Message] | None:
    """Return the messages of a body that is an array of valid events, None if it is not.

    It takes one pass, where cutting the array into events takes two, and names no index.
    """
    try:
        events = _array.decode(body)
        if 1 <= len(events) <= MAX_EVENTS:
            return [_checked(sent, now_ms, rules, resolve) for sent in events]
    except (ValueError, RecursionError):
        pass
    return None


def _checked(sent: Message, now_ms: int, rules: InputRules, resolve: Resolve) -> Message:
    """Return the message of a decoded event; ValueError if it is invalid."""
    # Records do not have the tag, so the message is one of the contracts' own types.
    fields = msgspec.structs.asdict(sent)
    fields[FIELD] = id_of(sent.instrument_id, resolve)
    if isinstance(sent, Quote):
        quote = Quote(**fields)
        check_quote(quote, now_ms, rules)
        return quote
    interaction = Interaction(**fields)
    check_interaction(interaction, now_ms, rules)
    return interaction


def _detail(errors: Sequence[EventError], total: int, what: str) -> str:
    first = errors[0]
    return (
        f"{len(errors)} of {total} {what} invalid, none accepted; "
        f"the first is at index {first.index}: {first.reason}"
    )


def _number(given: str | int | float, field: str) -> float:
    try:
        number = float(msgspec.convert(given, float, strict=False))
    except (msgspec.ValidationError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _legacy_error(f"{given!r:.100} is not a finite number", field)
    return number


def _legacy_error(reason: str, field: str | None) -> InvalidEventsError:
    return InvalidEventsError(reason, [EventError(0, reason, field)])
