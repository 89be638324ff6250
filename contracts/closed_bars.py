"""The messages on `bars`: a minute bar when its minute is closed, and again whenever it changes.

They are keyed by the instrument's id, in the partition with the same number as the instrument's
quotes. The same bar may be published twice with the same revision: readers keep the highest
revision of each (instrument, minute), and among several with that revision the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta

from contracts.messages import (
    EpochMs,
    Floats,
    InstrumentId,
    Ints,
    NonNegativeFloat,
    PositiveFloat,
    Rejection,
    decode_alone,
)

MINUTE_MS: Final = 60_000


class ClosedBar(msgspec.Struct, gc=False, frozen=True):
    """A minute bar whose minute is closed."""

    instrument_id: InstrumentId
    t: Annotated[EpochMs, Meta(multiple_of=MINUTE_MS)]
    """start of the minute, epoch ms"""
    o: PositiveFloat
    h: PositiveFloat
    l: PositiveFloat  # noqa: E741 (the field's letter)
    c: PositiveFloat
    v: NonNegativeFloat
    """sum of size"""
    n: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    """number of quotes"""
    pv: NonNegativeFloat
    """sum of price x size; pv / v is the volume-weighted average price"""
    ot: EpochMs
    """event time of the open, epoch ms"""
    ct: EpochMs
    """event time of the close, epoch ms"""
    revision: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """the position in the log up to which the bar has all quotes of its minute, as a number"""


@dataclass(frozen=True, slots=True)
class ClosedBarColumns:
    """Closed bars, columns of one length n; the fields are `ClosedBar`'s."""

    index: Ints
    """(n,) index of each bar's record in the decoded batch"""
    instrument_id: Ints
    t: Ints
    o: Floats
    h: Floats
    l: Floats  # noqa: E741 (the field's letter)
    c: Floats
    v: Floats
    n: Ints
    pv: Floats
    ot: Ints
    ct: Ints
    revision: Ints

    def __len__(self) -> int:
        return len(self.index)


_bar: Final = msgspec.json.Decoder(ClosedBar)
_encode: Final = msgspec.json.Encoder().encode


def encode_closed_bars(columns: Sequence[Sequence[float]]) -> list[bytes]:
    """Return the record value of each bar; the key is the instrument's id in ASCII decimal.

    Args:
        columns: one for each field of `ClosedBar`, in order, with Python numbers.

    >>> one_bar = (4, 60_000, 2.5, 3.0, 2.5, 3.0, 7.0, 2, 19.0, 60_001, 61_000, 17834)
    >>> encode_closed_bars([[value] for value in one_bar])[0][:54]
    b'{"instrument_id":4,"t":60000,"o":2.5,"h":3.0,"l":2.5,"'
    """
    return list(map(_encode, map(ClosedBar, *columns)))


def decode_closed_bars(
    values: Sequence[bytes | None],
) -> tuple[ClosedBarColumns, list[Rejection]]:
    """Decode a batch of record values of `bars`, None for a record without one.

    Returns:
        the columns of the valid records, in order, and a rejection for each of the others.
    """
    bars: list[ClosedBar] = []
    index: list[int] = []
    rejections: list[Rejection] = []
    for place, value in enumerate(values):
        try:
            bars.append(decode_alone(_bar.decode, value))  # type: ignore[arg-type]
        except ValueError as error:
            rejections.append(Rejection(place, str(error)))
        else:
            index.append(place)

    def ints(name: str) -> Ints:
        return np.array([getattr(bar, name) for bar in bars], np.int64)

    def floats(name: str) -> Floats:
        return np.array([getattr(bar, name) for bar in bars], np.float64)

    columns = ClosedBarColumns(
        index=np.array(index, np.int64),
        instrument_id=ints("instrument_id"),
        t=ints("t"),
        o=floats("o"),
        h=floats("h"),
        l=floats("l"),
        c=floats("c"),
        v=floats("v"),
        n=ints("n"),
        pv=floats("pv"),
        ot=ints("ot"),
        ct=ints("ct"),
        revision=ints("revision"),
    )
    return columns, rejections
