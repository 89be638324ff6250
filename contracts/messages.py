"""The messages on `quotes` and `interactions`: the codec of their only wire format.

`contracts.decoding` decodes batches of them.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import compress
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from contracts.decoding import MAX_AHEAD_MS as MAX_AHEAD_MS
from contracts.decoding import Decoders, decode_one, decode_runs, judge
from contracts.decoding import Floats as Floats
from contracts.decoding import Ints as Ints
from contracts.decoding import Rejection as Rejection
from contracts.decoding import check_time as check_time
from contracts.decoding import decode_alone as decode_alone
from contracts.input_rules import ANY, InputRules
from contracts.spans import Spans
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

EventType = Literal["view", "click", "watch", "trade"]
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
"""`InteractionColumns.event` is an index into it."""

InstrumentId = Annotated[int, Meta(ge=0, le=MAX_INSTRUMENT_ID)]
EpochMs = Annotated[int, Meta(ge=0, le=MAX_TS_MS)]
UserId = Annotated[str, Meta(min_length=1, max_length=MAX_USER_ID_BYTES)]
Amount = Annotated[float, Meta(ge=MIN_AMOUNT, le=MAX_AMOUNT)]
Size = Annotated[
    float,
    Meta(
        ge=0,
        le=MAX_AMOUNT,
        extra_json_schema={"anyOf": [{"const": 0}, {"minimum": MIN_AMOUNT}]},
    ),
]
PositiveFloat = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
NonNegativeFloat = Annotated[float, Meta(ge=0, le=sys.float_info.max)]


class Quote(msgspec.Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """A price of an instrument at an event time; `size` may be 0, which is the default."""

    instrument_id: InstrumentId
    price: Amount
    size: Size = 0
    ts: EpochMs


class Interaction(msgspec.Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """An action of a user on an instrument at an event time."""

    user_id: UserId
    instrument_id: InstrumentId
    event: EventType = "trade"
    price: Amount | None = None
    quantity: Amount | None = None
    ts: EpochMs


@dataclass(frozen=True, slots=True)
class QuoteColumns:
    """The quotes of a batch, columns of one length n, in the batch's order."""

    index: Ints
    """(n,) index of each quote's record in the decoded batch"""
    instrument_id: Ints
    price: Floats
    size: Floats
    ts_ms: Ints
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    """name of an unknown field -> records of the batch in which it was ignored; from up to
    `UNKNOWN_FIELDS_NAMED` records, the first such field of each"""

    def __len__(self) -> int:
        return len(self.index)

    def take(self, which: Ints | npt.NDArray[np.bool_]) -> "QuoteColumns":
        """Return some of the rows, by index or by a mask."""
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        arrays: dict[str, Any] = {
            name: c[which] for name, c in columns.items() if isinstance(c, np.ndarray)
        }
        return replace(self, **arrays)

    def merged(self, other: "QuoteColumns") -> "QuoteColumns":
        """Return these rows and others of the same batch, with the others' unknown fields."""
        order = np.argsort(np.concatenate([self.index, other.index]))
        arrays: dict[str, Any] = {
            column.name: np.concatenate([getattr(self, column.name), getattr(other, column.name)])
            for column in fields(self)
            if isinstance(getattr(self, column.name), np.ndarray)
        }
        return replace(other, **arrays).take(order)

    def without(self, places: Ints) -> "QuoteColumns":
        """Return the columns without some rows, given by index."""
        return self.take(np.delete(np.arange(len(self)), places))


class OrdinaryQuotes(NamedTuple):
    """Columns of n record values, of which some are quotes; a row means nothing if it is none.

    What is ordinary is up to the parser. It is valid in every deployment, but for its time.
    """

    instrument_id: Ints
    price: Floats
    size: Floats
    ts_ms: Ints
    is_ordinary: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class InteractionColumns:
    """The interactions of a batch, columns of one length n, in the batch's order."""

    index: Ints
    """(n,) index of each interaction's record in the decoded batch"""
    user_id: list[str]
    instrument_id: Ints
    event: npt.NDArray[np.int8]
    """(n,) index into `EVENT_TYPES`"""
    ts_ms: Ints
    value: Floats
    """(n,) price x quantity, which defaults to 1; NaN without a price"""
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    """as in `QuoteColumns`"""

    def __len__(self) -> int:
        return len(self.index)

    def where(self, is_kept: Sequence[bool]) -> "InteractionColumns":
        """Return some of the rows, given (n,) whether each is one of them."""
        kept = np.array(is_kept, np.bool_)
        return InteractionColumns(
            self.index[kept],
            list(compress(self.user_id, is_kept)),
            self.instrument_id[kept],
            self.event[kept],
            self.ts_ms[kept],
            self.value[kept],
            self.unknown_fields,
        )


_quote = Decoders(Quote)
_interaction = Decoders(Interaction)
_encoder = msgspec.json.Encoder()
_EVENT_INDEX: Final = {event: index for index, event in enumerate(EVENT_TYPES)}


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


def decode_quotes(
    values: Sequence[bytes | None], now_ms: int | Ints, rules: InputRules = ANY
) -> tuple[QuoteColumns, list[Rejection]]:
    """Decode a batch of record values of `quotes`.

    Args:
        values: record values, None for a record without one.
        now_ms: the reader's clock, or a time for each record, (n,); an event time more than
            `MAX_AHEAD_MS` later is rejected.
        rules: the deployment's.

    Returns:
        the columns of the valid records, and a rejection for each of the others.
    """
    decoded = decode_runs(_quote, values, rules)
    index, quotes, ts_ms, rejections = judge(decoded, now_ms, rules)
    n = len(quotes)
    columns = QuoteColumns(
        index=index,
        instrument_id=np.fromiter((q.instrument_id for q in quotes), np.int64, n),
        price=np.fromiter((q.price for q in quotes), np.float64, n),
        size=np.fromiter((q.size for q in quotes), np.float64, n),
        ts_ms=ts_ms,
        unknown_fields=decoded.unknown_fields,
    )
    small = columns.size < MIN_AMOUNT
    if small.any() and len(too_small := np.flatnonzero(small & (columns.size > 0))):
        rejections += (
            Rejection(int(index[at]), _too_small(columns.size[at])) for at in too_small.tolist()
        )
        return columns.without(too_small), sorted(rejections)
    return columns, rejections


def decode_quotes_with(
    read: Callable[[Spans], OrdinaryQuotes], values: Spans, now_ms: Ints, rules: InputRules = ANY
) -> tuple[QuoteColumns, list[Rejection]]:
    """Decode a batch as `decode_quotes`, with a faster parser for quotes written as usual.

    Args:
        read: the parser.
        values: record values, n.
        now_ms: the reader's clock for each, (n,).
        rules: the deployment's.
    """
    found = read(values)
    is_parsed = found.is_ordinary & (found.ts_ms <= now_ms + MAX_AHEAD_MS)
    is_parsed &= found.ts_ms >= rules.earliest_ms
    parsed = QuoteColumns(
        np.arange(len(values)), found.instrument_id, found.price, found.size, found.ts_ms
    )
    if is_parsed.all():
        return parsed, []
    others = np.flatnonzero(~is_parsed)
    columns, rejections = decode_quotes(values.take(others).listed(), now_ms[others], rules)
    rejections = [Rejection(int(others[place]), reason) for place, reason in rejections]
    columns = replace(columns, index=others[columns.index])
    return parsed.take(is_parsed).merged(columns), rejections


def decode_interactions(
    values: Sequence[bytes | None], now_ms: int | Ints, rules: InputRules = ANY
) -> tuple[InteractionColumns, list[Rejection]]:
    """Decode a batch of record values of `interactions`; as `decode_quotes`."""
    decoded = decode_runs(_interaction, values, rules)
    index, events, ts_ms, rejections = judge(decoded, now_ms, rules, interaction_rule_broken)
    n = len(events)
    columns = InteractionColumns(
        index=index,
        user_id=[e.user_id for e in events],
        instrument_id=np.fromiter((e.instrument_id for e in events), np.int64, n),
        event=np.fromiter((_EVENT_INDEX[e.event] for e in events), np.int8, n),
        ts_ms=ts_ms,
        value=np.fromiter(map(_value, events), np.float64, n),
        unknown_fields=decoded.unknown_fields,
    )
    return columns, rejections


def decode_quote(value: bytes, now_ms: int, rules: InputRules = ANY) -> Quote:
    """Decode one quote, by the rules of `decode_quotes`.

    Raises:
        ValueError: it is invalid; the text is the reason.
    """
    quote = decode_one(_quote, value, rules)
    check_quote(quote, now_ms, rules)
    return quote


def decode_interaction(value: bytes, now_ms: int, rules: InputRules = ANY) -> Interaction:
    """Decode one interaction, by the rules of `decode_interactions`; as `decode_quote`."""
    event = decode_one(_interaction, value, rules)
    check_interaction(event, now_ms, rules)
    return event


def check_quote(quote: Quote, now_ms: int, rules: InputRules = ANY) -> None:
    """Check the rules for a quote that its type cannot express.

    Raises:
        ValueError: it breaks one; the text is the reason.
    """
    check_time(quote.ts, now_ms, rules)
    if 0 < quote.size < MIN_AMOUNT:
        raise ValueError(_too_small(quote.size))


def check_interaction(event: Interaction, now_ms: int, rules: InputRules = ANY) -> None:
    """Check the rules for an interaction that its type cannot express; as `check_quote`."""
    check_time(event.ts, now_ms, rules)
    check_user_id(event.user_id)


def interaction_rule_broken(message: Interaction) -> str | None:
    """Return the rule, beyond its type, that an interaction violates, or None."""
    return user_id_rule_broken(message.user_id)


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
    return user_id_too_long(user_id)


def user_id_too_long(user_id: str) -> str | None:
    """Return the violation if a user id has too many bytes, otherwise None."""
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


def _value(event: Interaction) -> float:
    if event.price is None:
        return math.nan
    return event.price if event.quantity is None else event.price * event.quantity


def _too_small(size: float) -> str:
    return f"size {size:g} is above 0 and below {MIN_AMOUNT:g}"
