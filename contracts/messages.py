"""The messages on the topics, bytes to columns and back: the only code that knows the wire format.

A record that breaks a rule is rejected alone, with a reason that names the field; its neighbors in
the batch are decoded all the same. Decoding each record by itself is also what msgspec is fastest
at: 3.6 M quotes/s on one core here, 3.3 M joined into one array first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, NamedTuple, TypeVar, get_args

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MAX_INSTRUMENT_ID: Final = 2**63 - 1
MAX_USER_ID_BYTES: Final = 128
MAX_TS_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
MAX_AHEAD_MS: Final = 5 * 60_000
"""How far an event time may lie ahead of the reader's clock, lest a broken one evict good bars."""

EventType = Literal["view", "click", "watch", "trade"]
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
"""In the order of `InteractionColumns.event`, which holds an index into it."""

InstrumentId = Annotated[int, Meta(ge=0, le=MAX_INSTRUMENT_ID)]
EpochMs = Annotated[int, Meta(ge=0, le=MAX_TS_MS)]
PositiveFloat = Annotated[float, Meta(gt=0)]
NonNegativeFloat = Annotated[float, Meta(ge=0)]


class Quote(msgspec.Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """A price of an instrument at an event time; `size` may be 0, and is when absent."""

    instrument_id: InstrumentId
    price: PositiveFloat
    size: NonNegativeFloat = 0
    ts: EpochMs


class Interaction(msgspec.Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a user did with an instrument at an event time."""

    user_id: Annotated[str, Meta(min_length=1, max_length=MAX_USER_ID_BYTES)]
    instrument_id: InstrumentId
    event: EventType = "trade"
    price: PositiveFloat | None = None
    quantity: PositiveFloat | None = None
    ts: EpochMs


class Rejection(NamedTuple):
    """A record of a batch that broke a rule: its place in the batch, and why."""

    place: int
    reason: str


@dataclass(frozen=True, slots=True)
class QuoteColumns:
    """The quotes of a batch, columns of one length n, in the batch's order."""

    index: Ints
    """(n,) place of each quote's record in the batch that was decoded"""
    instrument_id: Ints
    price: Floats
    size: Floats
    ts_ms: Ints

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, slots=True)
class InteractionColumns:
    """The interactions of a batch, columns of one length n, in the batch's order."""

    index: Ints
    """(n,) place of each interaction's record in the batch that was decoded"""
    user_id: list[str]
    instrument_id: Ints
    event: npt.NDArray[np.int8]
    """(n,) index into `EVENT_TYPES`"""
    ts_ms: Ints

    def __len__(self) -> int:
        return len(self.index)


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to the rows of the Gram matrix that one partition of `cooccurrences` keeps.

    Row k says: add `delta[k]` to G[i[k], j[k]], because of the event at `offset[k]` of the source
    partition of `interactions`. Offsets never fall within a message nor from one message of a
    source partition to the next, and no offset's rows are split over two messages.
    """

    source: Annotated[int, Meta(ge=0)]
    """partition of `interactions` that the events stand in"""
    incarnation: Annotated[int, Meta(ge=0)]
    """of that partition's log"""
    offset: list[int]
    i: list[int]
    j: list[int]
    delta: list[float]


M = TypeVar("M", Quote, Interaction)

_quote = msgspec.json.Decoder(Quote)
_interaction = msgspec.json.Decoder(Interaction)
_changes = msgspec.json.Decoder(Changes)
_encoder = msgspec.json.Encoder()
_EVENT_INDEX: Final = {event: index for index, event in enumerate(EVENT_TYPES)}


def encode(message: Quote | Interaction | Changes) -> bytes:
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
    values: Sequence[bytes | None], now_ms: int
) -> tuple[QuoteColumns, list[Rejection]]:
    """Decode a batch of record values of `quotes`.

    Args:
        values: a record value each, None for a record without one.
        now_ms: the reader's clock; an event time over `MAX_AHEAD_MS` later is rejected.

    Returns:
        the columns of the good records, and a rejection of each of the others.
    """
    index, quotes, rejections = _decode_each(_quote.decode, values, now_ms, _no_further_rule)
    n = len(quotes)
    columns = QuoteColumns(
        index=index,
        instrument_id=np.fromiter((q.instrument_id for q in quotes), np.int64, n),
        price=np.fromiter((q.price for q in quotes), np.float64, n),
        size=np.fromiter((q.size for q in quotes), np.float64, n),
        ts_ms=np.fromiter((q.ts for q in quotes), np.int64, n),
    )
    return columns, rejections


def decode_interactions(
    values: Sequence[bytes | None], now_ms: int
) -> tuple[InteractionColumns, list[Rejection]]:
    """Decode a batch of record values of `interactions`; as `decode_quotes`."""
    index, events, rejections = _decode_each(_interaction.decode, values, now_ms, _user_id_rule)
    n = len(events)
    columns = InteractionColumns(
        index=index,
        user_id=[e.user_id for e in events],
        instrument_id=np.fromiter((e.instrument_id for e in events), np.int64, n),
        event=np.fromiter((_EVENT_INDEX[e.event] for e in events), np.int8, n),
        ts_ms=np.fromiter((e.ts for e in events), np.int64, n),
    )
    return columns, rejections


def decode_changes(value: bytes | None) -> Changes:
    """Decode a record value of `cooccurrences`.

    Raises:
        ValueError: it is no such message, or its columns differ in length.
    """
    if value is None:
        raise ValueError("the record has no value")
    changes = _changes.decode(value)
    lengths = {len(changes.offset), len(changes.i), len(changes.j), len(changes.delta)}
    if len(lengths) > 1:
        raise ValueError(f"columns of different lengths: {sorted(lengths)}")
    return changes


def interaction_rule_broken(message: Interaction) -> str | None:
    """Return which rule an interaction breaks that its type cannot state, or None."""
    return _user_id_rule(message)


def _no_further_rule(_: Quote) -> str | None:
    return None


def _user_id_rule(message: Interaction) -> str | None:
    size = len(message.user_id.encode())
    if size > MAX_USER_ID_BYTES:
        return f"user_id has {size} bytes of UTF-8, at most {MAX_USER_ID_BYTES} are allowed"
    return None


def _decode_each(
    decode: Callable[[bytes], M],
    values: Sequence[bytes | None],
    now_ms: int,
    broken_rule: Callable[[M], str | None],
) -> tuple[Ints, list[M], list[Rejection]]:
    """Return the places, the messages and the rejections of a batch."""
    latest = now_ms + MAX_AHEAD_MS
    try:
        messages = list(map(decode, values))  # type: ignore[arg-type]
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):
        pass
    else:
        if all([m.ts <= latest and broken_rule(m) is None for m in messages]):  # noqa: C419 (a list is faster)
            return np.arange(len(messages), dtype=np.int64), messages, []

    index: list[int] = []
    good: list[M] = []
    rejections: list[Rejection] = []
    for place, value in enumerate(values):
        message, reason = _decode_one(decode, value, latest, broken_rule)
        if message is None:
            rejections.append(Rejection(place, reason))
        else:
            index.append(place)
            good.append(message)
    return np.array(index, dtype=np.int64), good, rejections


def _decode_one(
    decode: Callable[[bytes], M],
    value: bytes | None,
    latest: int,
    broken_rule: Callable[[M], str | None],
) -> tuple[M | None, str]:
    """Return the message and no reason, or no message and the reason."""
    if value is None:
        return None, "the record has no value"
    try:
        message = decode(value)
    except UnicodeDecodeError as error:
        return None, f"not UTF-8: {error}"
    except (msgspec.MsgspecError, RecursionError) as error:
        return None, str(error)
    if message.ts > latest:
        return None, (
            f"ts {message.ts} is {(message.ts - latest + MAX_AHEAD_MS) / 60_000:.1f} minutes "
            f"ahead of the clock, at most {MAX_AHEAD_MS // 60_000} are allowed"
        )
    reason = broken_rule(message)
    return (None, reason) if reason else (message, "")
