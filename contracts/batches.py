"""Batches of record values of `quotes` and `interactions`: as spans of bytes, and as columns.

`contracts.messages` has what a message is, and the rules that each must follow.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import compress
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.decoding import MAX_AHEAD_MS, Floats, Ints, Rejection, decode_runs, judge
from contracts.input_rules import ANY, InputRules
from contracts.messages import (
    MIN_AMOUNT,
    Interaction,
    interaction_decoders,
    interaction_rule_broken,
    quote_decoders,
    size_too_small,
)

ABSENT: Final = -1
"""The length of a value that a record does not have."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Values of n records, without an object for each."""

    data: bytes
    start: Ints
    """(n,) where each value starts in `data`"""
    length: Ints
    """(n,) of each value, `ABSENT` if there is none; the values are within `data`"""

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> "Spans":
        """Return the spans of values, in a copy of them."""
        present = [b"" if value is None else value for value in values]
        length = np.fromiter(map(len, present), np.int64, len(present))
        start = np.cumsum(length) - length
        if None in values:
            length[[value is None for value in values]] = ABSENT
        return cls(b"".join(present), start, length)

    def __len__(self) -> int:
        return len(self.start)

    def value(self, index: int) -> bytes | None:
        """Return one of the values."""
        start, length = int(self.start[index]), int(self.length[index])
        return None if length == ABSENT else self.data[start : start + length]

    def listed(self) -> list[bytes | None]:
        """Return the values."""
        data, starts = self.data, self.start.tolist()
        found: list[bytes | None] = [
            data[start:end]
            for start, end in zip(starts, (self.start + self.length).tolist(), strict=True)
        ]
        for index in np.flatnonzero(self.length == ABSENT).tolist():
            found[index] = None
        return found

    def take(self, indices: Ints) -> "Spans":
        """Return some of the values, by index."""
        return Spans(self.data, self.start[indices], self.length[indices])


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

    def arrays(self) -> dict[str, Any]:
        """Return the columns by name."""
        columns = ((column.name, getattr(self, column.name)) for column in fields(self))
        return {name: column for name, column in columns if isinstance(column, np.ndarray)}

    def take(self, which: Ints | npt.NDArray[np.bool_]) -> "QuoteColumns":
        """Return some of the rows, by index or by a mask."""
        taken: dict[str, Any] = {name: column[which] for name, column in self.arrays().items()}
        return replace(self, **taken)

    def merged(self, other: "QuoteColumns") -> "QuoteColumns":
        """Return these rows and others of the same batch, with the others' unknown fields."""
        order = np.argsort(np.concatenate([self.index, other.index]))
        ours, theirs = self.arrays(), other.arrays()
        joined: dict[str, Any] = {
            name: np.concatenate([ours[name], theirs[name]])[order] for name in ours
        }
        return replace(other, **joined)

    def without(self, places: Ints) -> "QuoteColumns":
        """Return the columns without some rows, given by index."""
        return self.take(np.delete(np.arange(len(self)), places))


class OrdinaryQuotes(NamedTuple):
    """Columns of n record values, of which some are quotes; a row means nothing if it is none.

    What is ordinary is up to the parser. It is valid in every deployment, but for its time. The
    columns are in the order of `QuoteColumns`.
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
    weight: Floats
    """(n,) of their types"""
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
            self.weight[kept],
            self.ts_ms[kept],
            self.value[kept],
            self.unknown_fields,
        )


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
    decoded = decode_runs(quote_decoders, values, rules)
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
            Rejection(int(index[at]), size_too_small(columns.size[at])) for at in too_small.tolist()
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
    parsed = QuoteColumns(np.arange(len(values)), *found[:-1])
    is_parsed = found.is_ordinary & (parsed.ts_ms <= now_ms + MAX_AHEAD_MS)
    is_parsed &= parsed.ts_ms >= rules.earliest_ms
    if is_parsed.all():
        return parsed, []
    others = np.flatnonzero(~is_parsed)
    columns, rejections = decode_quotes(values.take(others).listed(), now_ms[others], rules)
    rejections = [Rejection(int(others[at]), reason) for at, reason in rejections]
    columns = replace(columns, index=others[columns.index])
    return parsed.take(is_parsed).merged(columns), rejections


def decode_interactions(
    values: Sequence[bytes | None], now_ms: int | Ints, rules: InputRules = ANY
) -> tuple[InteractionColumns, list[Rejection]]:
    """Decode a batch of record values of `interactions`; as `decode_quotes`."""
    decoded = decode_runs(interaction_decoders, values, rules)
    rule_broken = interaction_rule_broken(rules)
    index, events, ts_ms, rejections = judge(decoded, now_ms, rules, rule_broken)
    n, weights = len(events), rules.event_weights
    columns = InteractionColumns(
        index=index,
        user_id=[e.user_id for e in events],
        instrument_id=np.fromiter((e.instrument_id for e in events), np.int64, n),
        weight=np.fromiter((weights[e.event] for e in events), np.float64, n),
        ts_ms=ts_ms,
        value=np.fromiter(map(_value, events), np.float64, n),
        unknown_fields=decoded.unknown_fields,
    )
    return columns, rejections


def _value(event: Interaction) -> float:
    if event.price is None:
        return math.nan
    return event.price if event.quantity is None else event.price * event.quantity
