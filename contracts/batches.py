"""Batches of record values of `quotes` and `interactions`: as spans of bytes, and as columns.

`contracts.messages` has what a message is, and the rules that each must follow.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import attrgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.bars import Column
from contracts.decoding import MAX_AHEAD_MS, Floats, Ints, Rejection, decode_runs, judge
from contracts.input_rules import ANY, InputRules
from contracts.messages import (
    MIN_AMOUNT,
    QUOTE_COLUMNS,
    Interaction,
    amount_too_small,
    interaction_decoders,
    interaction_rule_broken,
    quote_decoders,
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
    columns: Mapping[str, Column]
    """by the fields of `contracts.messages.Quote`"""
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    """name of an unknown field -> records of the batch in which it was ignored; from up to
    `UNKNOWN_FIELDS_NAMED` records, the first such field of each"""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def instrument_id(self) -> Ints:
        """Of each quote, (n,)."""
        return self.columns["instrument_id"]

    @property
    def ts_ms(self) -> Ints:
        """Event times, (n,)."""
        return self.columns["ts"]

    def take(self, which: Ints | npt.NDArray[np.bool_]) -> "QuoteColumns":
        """Return some of the rows, by index or by a mask."""
        taken = {name: column[which] for name, column in self.columns.items()}
        return replace(self, index=self.index[which], columns=taken)

    def merged(self, other: "QuoteColumns") -> "QuoteColumns":
        """Return these rows and others of the same batch, with the others' unknown fields."""
        index = np.concatenate([self.index, other.index])
        order = np.argsort(index)
        joined = {
            name: np.concatenate([column, other.columns[name]])[order]
            for name, column in self.columns.items()
        }
        return replace(other, index=index[order], columns=joined)


ReadQuotes = Callable[[Spans], tuple[QuoteColumns, npt.NDArray[np.bool_]]]
"""A parser: values -> a row for each, and (n,) which are quotes; their times are not checked."""


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
        columns = ((name, getattr(self, name)) for name in self.__slots__)
        arrays: dict[str, Any] = {
            name: its[kept] for name, its in columns if isinstance(its, np.ndarray)
        }
        return replace(self, user_id=list(compress(self.user_id, is_kept)), **arrays)


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
    columns: dict[str, Column] = {"ts": ts_ms}
    too_small: dict[int, str] = {}
    for name, *_, kind, _ in reversed(QUOTE_COLUMNS):
        if name not in columns:
            columns[name] = np.fromiter(map(attrgetter(name), quotes), kind, len(quotes))
        if kind is float:
            below = (columns[name] > 0) & (columns[name] < MIN_AMOUNT)
            for at in np.flatnonzero(below).tolist():
                too_small[at] = amount_too_small(name, columns[name][at])
    found = QuoteColumns(index, columns, decoded.unknown_fields)
    if too_small:
        rejections += (Rejection(int(index[at]), reason) for at, reason in too_small.items())
        return found.take(np.delete(np.arange(len(found)), [*too_small])), sorted(rejections)
    return found, rejections


def decode_quotes_with(
    read: ReadQuotes, values: Spans, now_ms: Ints, rules: InputRules = ANY
) -> tuple[QuoteColumns, list[Rejection]]:
    """Decode a batch as `decode_quotes`, with a faster parser for quotes written as usual.

    Args:
        read: the parser.
        values: record values, n.
        now_ms: the reader's clock for each, (n,).
        rules: the deployment's.
    """
    parsed, is_parsed = read(values)
    is_parsed = is_parsed & (parsed.ts_ms <= now_ms + MAX_AHEAD_MS)
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
