"""Decodes record values into messages, one or a batch at a time.

An invalid record is rejected alone, with a reason that names the field; the rest of the batch is
decoded. Decoding each record by itself is also the fastest way with msgspec: 3.6 M quotes/s on one
core here, 3.3 M if joined into one array first. A bad record costs one exception, and no second
pass over the batch.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.input_rules import InputRules, strict
from contracts.reasons import unknown_field, violation
from contracts.times import MINUTE_MS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MAX_REASON_CHARACTERS: Final = 500
"""Of a rejection: msgspec's messages may contain a value of any length."""
UNKNOWN_FIELDS_NAMED: Final = 100
"""Records per batch that are checked for unknown fields: that takes four times as long as decoding,
and a feed may have such a field in every record."""
MAX_AHEAD_MS: Final = 5 * MINUTE_MS
"""How far event times may be ahead of the reader's clock: a wrong one must not evict good bars."""


class Message(Protocol):
    """A message with an event time."""

    @property
    def ts(self) -> int:
        """Epoch ms."""


M = TypeVar("M", bound=Message)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_NO_MESSAGE: Final = (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError)
"""The exceptions raised for a record that is not a message, or has no value."""


class Rejection(NamedTuple):
    """An invalid record of a batch: its index in the batch, and the reason."""

    index: int  # type: ignore[assignment]  # not the tuple's method
    reason: str


class Decoder(Protocol[T_co]):
    """A decoder of msgspec, for JSON or another format."""

    type: Any
    """what it decodes to"""

    def decode(self, value: Any, /) -> T_co:
        """Return the decoded value."""


class Decoders(Generic[T]):
    """The decoders of one type of message."""

    def __init__(self, kind: type[T]) -> None:
        self.lenient: Decoder[T] = msgspec.json.Decoder(kind)
        # As fast if there are no unknown fields.
        self.strict: Decoder[T] = msgspec.json.Decoder(strict(kind))  # type: ignore[type-var]


def check_time(ts_ms: int, now_ms: int, rules: InputRules) -> None:
    """Check an event time against the rules and the reader's clock.

    Raises:
        ValueError: it is too early, or more than `MAX_AHEAD_MS` ahead.
    """
    rules.check_time(ts_ms)
    latest = now_ms + MAX_AHEAD_MS
    if ts_ms > latest:
        raise ValueError(_ahead(ts_ms, latest))


def decode_alone(decoder: Decoder[T], value: bytes) -> T:
    """Decode a single record value.

    Raises:
        ValueError: it is not such a message; the text is the reason.
    """
    try:
        return decoder.decode(value)
    except _NO_MESSAGE as error:
        raise ValueError(_reason(decoder, value, error)) from None


class Decoded(NamedTuple, Generic[M]):
    """The messages in n record values."""

    n: int
    messages: list[M]
    """in order"""
    rejections: list[Rejection]
    """of the values that are not messages"""
    unknown_fields: Mapping[str, int]


def judge(
    decoded: Decoded[M],
    now_ms: int | Ints,
    rules: InputRules,
    rule_broken: Callable[[M], str | None] | None = None,
) -> tuple[Ints, list[M], Ints, list[Rejection]]:
    """Return the indices, messages and event times of the valid ones, and the rejections."""
    n, messages, rejections, _ = decoded
    index = np.delete(np.arange(n), [rejection.index for rejection in rejections])
    ts_ms = np.fromiter((m.ts for m in messages), np.int64, len(messages))
    latest = np.broadcast_to(np.asarray(now_ms, np.int64) + MAX_AHEAD_MS, n)[index]
    broken = {at: _ahead(ts_ms[at], latest[at]) for at in np.flatnonzero(ts_ms > latest).tolist()}
    if rules.earliest_ms:
        for at in np.flatnonzero(ts_ms < rules.earliest_ms).tolist():
            broken[at] = rules.too_early(ts_ms[at])
    if rule_broken is not None:
        for at, reason in enumerate(map(rule_broken, messages)):
            if reason is not None:
                broken.setdefault(at, reason)
    if not broken:
        return index, messages, ts_ms, rejections
    rejections += (Rejection(int(index[at]), reason) for at, reason in broken.items())
    good = np.delete(np.arange(len(messages)), list(broken))
    return index[good], [messages[at] for at in good.tolist()], ts_ms[good], sorted(rejections)


def decode_runs(
    decoders: Decoders[M], values: Sequence[bytes | None], rules: InputRules
) -> Decoded[M]:
    """Decode the values.

    A run of valid records is decoded without Python code in between: messages decoded before an
    error stay in the list, and the iterator continues after the record that caused it.
    """
    messages: list[M] = []
    rejections: list[Rejection] = []
    unknown: Counter[str] = Counter()
    decoding = map(decoders.strict.decode, values)
    while True:
        try:
            messages.extend(decoding)
        except _NO_MESSAGE as error:
            index = len(messages) + len(rejections)
            name = None if rules.refuses_unknown_fields else unknown_field(error)
            if name is None:
                rejections.append(Rejection(index, _reason(decoders.strict, values[index], error)))
                continue
            if unknown.total() == UNKNOWN_FIELDS_NAMED:
                decoding = map(decoders.lenient.decode, values[index:])
                continue
            try:
                messages.append(decoders.lenient.decode(values[index]))
            except _NO_MESSAGE as worse:
                rejections.append(Rejection(index, _reason(decoders.lenient, values[index], worse)))
            else:
                unknown[name] += 1
        else:
            return Decoded(len(values), messages, rejections, unknown)


def decode_one(
    decoders: Decoders[T],
    value: bytes,
    rules: InputRules,
    unknown_fields: Counter[str] | None = None,
) -> T:
    """Decode one message; the first field that its type does not have is counted, by name.

    Raises:
        ValueError: it is not a message, or its fields are rejected.
    """
    message = decode_alone(decoders.lenient, value)
    if unknown_fields is None and not rules.refuses_unknown_fields:
        return message
    try:
        decoders.strict.decode(value)
    except msgspec.ValidationError as error:
        name = unknown_field(error)
        if rules.refuses_unknown_fields or unknown_fields is None or name is None:
            raise ValueError(_reason(decoders.strict, value, error)) from None
        unknown_fields[name] += 1
    return message


def _reason(decoder: Decoder[Any], value: bytes | None, error: Exception) -> str:
    if value is None:
        return "the record has no value"
    if isinstance(error, msgspec.ValidationError):
        text = str(violation(error, value, decoder.type))
    else:
        text = f"not UTF-8: {error}" if isinstance(error, UnicodeDecodeError) else str(error)
    return text[:MAX_REASON_CHARACTERS]


def _ahead(ts_ms: int, latest: int) -> str:
    return (
        f"ts {ts_ms} is {(ts_ms - latest + MAX_AHEAD_MS) / MINUTE_MS:.1f} minutes "
        f"ahead of the clock, at most {MAX_AHEAD_MS // MINUTE_MS} are allowed"
    )
