"""The messages on `quotes` and `interactions`: the codec of their only wire format.

`contracts.batches` decodes batches of them.
"""

import sys
from collections.abc import Callable
from typing import Annotated, Final, NamedTuple, get_args

import msgspec
from msgspec import Meta

from contracts.decoding import MAX_AHEAD_MS as MAX_AHEAD_MS
from contracts.decoding import Decoders, decode_one
from contracts.decoding import Floats as Floats
from contracts.decoding import Ints as Ints
from contracts.decoding import Rejection as Rejection
from contracts.decoding import check_time as check_time
from contracts.decoding import decode_alone as decode_alone
from contracts.event_types import MAX_NAME_CHARACTERS, TRADE, unknown_type
from contracts.input_rules import ANY, InputRules
from contracts.times import MAX_TS_MS

MAX_INSTRUMENT_ID: Final = 2**63 - 1
MAX_USER_ID_BYTES: Final = 128
MIN_AMOUNT: Final = 1e-18
MAX_AMOUNT: Final = 1e18
"""Of a price, a quantity, and a size that is not 0. The minimum is a wei, the smallest unit traded;
no market exceeds either bound. Beyond them, sums, products and ratios overflow or underflow."""
_NEVER_TOO_LONG: Final = MAX_USER_ID_BYTES // 4
"""Characters, which have at most 4 bytes of UTF-8 each: most ids need not be encoded to check
them."""
_STEPS: Final = frozenset((".", ".."))
"""Path segments that proxies may resolve."""

InstrumentId = Annotated[int, Meta(ge=0, le=MAX_INSTRUMENT_ID)]
EpochMs = Annotated[int, Meta(ge=0, le=MAX_TS_MS)]
UserId = Annotated[str, Meta(min_length=1, max_length=MAX_USER_ID_BYTES)]
EventType = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]
Amount = Annotated[float, Meta(ge=MIN_AMOUNT, le=MAX_AMOUNT)]
Size = Annotated[
    float,
    Meta(
        ge=0,
        le=MAX_AMOUNT,
        # 0, or an amount: generators of clients take no part in a `not`
        extra_json_schema={"not": {"exclusiveMinimum": 0, "exclusiveMaximum": MIN_AMOUNT}},
    ),
]
PositiveFloat = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
NonNegativeFloat = Annotated[float, Meta(ge=0, le=sys.float_info.max)]


class Quote(msgspec.Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """A price of an instrument at an event time."""

    # The table of a quote's columns. Later ones follow `ts`, each a `Size = 0`: old rows lack them.
    instrument_id: InstrumentId
    price: Amount
    size: Size = 0
    ts: EpochMs


class QuoteColumn(NamedTuple):
    """A field of `Quote`, as a column of many. Amounts are floats; a later one is 0 before it."""

    name: str
    is_required: bool
    is_later: bool
    kind: type[int | float]
    bounds: Meta


QUOTE_COLUMNS: Final = tuple(
    QuoteColumn(f.name, f.required, n > Quote.__struct_fields__.index("ts"), *get_args(f.type)[:2])
    for n, f in enumerate(msgspec.structs.fields(Quote))
)


class Interaction(msgspec.Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """An action of a user on an instrument at an event time."""

    user_id: UserId
    instrument_id: InstrumentId
    event: EventType = TRADE
    """one of those in `InputRules.event_weights`"""
    price: Amount | None = None
    quantity: Amount | None = None
    ts: EpochMs


quote_decoders = Decoders(Quote)
interaction_decoders = Decoders(Interaction)
_encoder = msgspec.json.Encoder()


def encode(message: Quote | Interaction) -> bytes:
    """Return the record value of a message.

    >>> encode(Quote(instrument_id=4, price=30.72, size=100, ts=1629061628123))
    b'{"instrument_id":4,"price":30.72,"size":100,"ts":1629061628123}'
    """
    return _encoder.encode(message)


def key_of(message: Quote | Interaction) -> bytes:
    """Return the record key of a message: the instrument's id, or the user's."""
    if isinstance(message, Quote):
        return b"%d" % message.instrument_id
    return message.user_id.encode()


def decode_quote(value: bytes, now_ms: int, rules: InputRules = ANY) -> Quote:
    """Decode one quote, by the rules of `contracts.batches.decode_quotes`.

    Raises:
        ValueError: it is invalid; the text is the reason.
    """
    quote = decode_one(quote_decoders, value, rules)
    check_quote(quote, now_ms, rules)
    return quote


def decode_interaction(value: bytes, now_ms: int, rules: InputRules = ANY) -> Interaction:
    """Decode one interaction, by those of `decode_interactions` there; as `decode_quote`."""
    event = decode_one(interaction_decoders, value, rules)
    check_interaction(event, now_ms, rules)
    return event


def check_quote(quote: Quote, now_ms: int, rules: InputRules = ANY) -> None:
    """Check the rules for a quote that its type cannot express.

    Raises:
        ValueError: it breaks one; the text is the reason.
    """
    check_time(quote.ts, now_ms, rules)
    for name, *_, kind, _ in QUOTE_COLUMNS:
        if kind is float and 0 < (amount := getattr(quote, name)) < MIN_AMOUNT:
            raise ValueError(amount_too_small(name, amount))


def check_interaction(event: Interaction, now_ms: int, rules: InputRules = ANY) -> None:
    """Check the rules for an interaction that its type cannot express; as `check_quote`."""
    check_time(event.ts, now_ms, rules)
    reason = interaction_rule_broken(rules)(event)
    if reason is not None:
        raise ValueError(reason)


def interaction_rule_broken(rules: InputRules) -> Callable[[Interaction], str | None]:
    """Return the function that names the rule that an interaction violates, or None.

    It leaves what the type can express, and the time, to others.
    """
    weights = rules.event_weights

    def broken(message: Interaction) -> str | None:
        if message.event not in weights:
            return unknown_type(message.event, weights)
        return user_id_rule_broken(message.user_id)

    return broken


def user_id_rule_broken(user_id: str) -> str | None:
    """Return the rule, beyond its type, that a user id violates, or None.

    Each id must work in a path, so that every user can be erased: a server's decoder replaces
    invalid UTF-8 with U+FFFD, and proxies reject NUL and resolve `..`.
    """
    if "\0" in user_id or "\ufffd" in user_id:
        return "user_id contains U+0000 or U+FFFD, which paths cannot contain"
    if "." in user_id and not _STEPS.isdisjoint(user_id.split("/")):
        return "user_id contains `.` or `..` as a path segment, which proxies resolve"
    if len(user_id) <= _NEVER_TOO_LONG:
        return None
    size = len(user_id.encode())
    if size > MAX_USER_ID_BYTES:
        return f"user_id has {size} bytes of UTF-8, at most {MAX_USER_ID_BYTES} are allowed"
    return None


def check_user_id(user_id: str) -> None:
    """Check the rules for a user id that its type cannot express.

    Raises:
        ValueError: it violates one.
    """
    reason = user_id_rule_broken(user_id)
    if reason is not None:
        raise ValueError(reason)


def amount_too_small(name: str, amount: float) -> str:
    """Return the reason to reject a quote for an amount that may be 0."""
    return f"{name} {amount:g} is above 0 and below {MIN_AMOUNT:g}"
