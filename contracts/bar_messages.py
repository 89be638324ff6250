"""The messages about bars: closed ones in Kafka, and those just written by sharded pub/sub.

A bar is on the topic `bars` when its minute is closed, and again whenever it changes, keyed by the
instrument's id, in the partition with the same number as the instrument's quotes. The same bar may
be published twice with the same revision: readers keep the highest revision of each (instrument,
minute), and among several with that revision the first.

The script that writes bars to Redis publishes them on `Keyspace.bars_changed` as well, one message
per chunk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from contracts.bars import (
    FIELDS,
    Close,
    CloseTime,
    Column,
    Count,
    High,
    Kind,
    Low,
    Notional,
    Open,
    OpenTime,
    Volume,
    structs_of,
)
from contracts.messages import (
    EpochMs,
    InstrumentId,
    Ints,
    NonNegativeFloat,
    PositiveFloat,
    Rejection,
    decode_alone,
)
from contracts.times import MINUTE_MS

_BOUNDED: Final[dict[Kind, Any]] = {
    "price": PositiveFloat,
    "amount": NonNegativeFloat,
    "count": Annotated[int, Meta(ge=1, le=2**63 - 1)],
    "time": EpochMs,
}


class ClosedBar(msgspec.Struct, gc=False, frozen=True):
    """A minute bar whose minute is closed."""

    instrument_id: InstrumentId
    t: Annotated[EpochMs, Meta(multiple_of=MINUTE_MS)]
    """start of the minute, epoch ms"""
    o: Open
    h: High
    l: Low  # noqa: E741 (the field's letter)
    c: Close
    v: Volume
    n: Count
    pv: Notional
    ot: OpenTime
    ct: CloseTime
    revision: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """the mark (`contracts.log_position`) up to which the bar has all quotes of its minute"""


@dataclass(frozen=True, slots=True)
class ClosedBars:
    """The closed bars of a batch."""

    index: Ints
    """(n,) index of each bar's record in the decoded batch"""
    columns: dict[str, Column]
    """(n,) of each column of the archive's table but the place in the log; times in epoch ms"""


_NAMES: Final = {"t": "minute"} | {letter: field.name for letter, field in FIELDS.items()}
_COLUMNS: Final = {
    letter: (_NAMES.get(letter, letter), FIELDS[letter].dtype if letter in FIELDS else np.int64)
    for letter in ClosedBar.__struct_fields__
}
"""The name and type of the column of each field."""
_bar: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        ClosedBar.__name__,
        [
            (
                field.name,
                _BOUNDED[FIELDS[field.name].kind] if field.name in FIELDS else field.type,
                field.default,
            )
            for field in msgspec.structs.fields(ClosedBar)
        ],
        gc=False,
        frozen=True,
    )
)
_encode: Final = msgspec.json.Encoder().encode


def encode_closed_bars(columns: Mapping[str, Column]) -> list[bytes]:
    """Return the record value of each bar; the key is the instrument's id in ASCII decimal.

    Args:
        columns: (n,) of each field of `ClosedBar`, by its name.
    """
    return list(map(_encode, structs_of(ClosedBar, columns)))


def decode_closed_bars(values: Sequence[bytes | None]) -> tuple[ClosedBars, list[Rejection]]:
    """Decode a batch of record values of `bars`, None for a record without one.

    Returns:
        the valid records, in order, and a rejection for each of the others.
    """
    bars: list[Any] = []
    index: list[int] = []
    rejections: list[Rejection] = []
    for at, value in enumerate(values):
        try:
            bars.append(decode_alone(_bar, value))  # type: ignore[arg-type]
        except ValueError as error:
            rejections.append(Rejection(at, str(error)))
        else:
            index.append(at)
    columns = {
        name: np.array([getattr(bar, letter) for bar in bars], dtype)
        for letter, (name, dtype) in _COLUMNS.items()
    }
    return ClosedBars(np.array(index, np.int64), columns), rejections


class ChangedBar(NamedTuple):
    """A minute bar that was written."""

    instrument_id: int
    minute_s: int
    """its start, epoch s, as its field in Redis"""
    value: str
    """`contracts.bars.BarValue` in JSON, as stored in Redis"""


encode_changed_bars: Final = msgspec.msgpack.Encoder().encode
"""Encodes a sequence of `ChangedBar`, or of equivalent tuples."""
_decode: Final = msgspec.msgpack.Decoder(list[ChangedBar]).decode


def decode_changed_bars(message: bytes) -> Sequence[ChangedBar]:
    """Return the bars of a message, in the order in which they were written.

    >>> decode_changed_bars(encode_changed_bars([(4, 60, "{}")]))
    [ChangedBar(instrument_id=4, minute_s=60, value='{}')]

    Raises:
        ValueError: it is not such a message.
    """
    return _decode(message)
