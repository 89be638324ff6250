"""Batch recomputation of bars from a log of quotes, in plain Python."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from contracts.bars import BarValue
from contracts.batches import QuoteColumns
from contracts.log_position import LogPosition
from contracts.messages import Ints
from contracts.times import MINUTE_MS
from tests.oracles import bars
from tests.oracles.bars import Placed


class Quote(NamedTuple):
    """Its index in a list is its offset."""

    instrument_id: int
    price: float
    size: float
    ts_ms: int

    @property
    def minute(self) -> int:
        return self.ts_ms // MINUTE_MS


INSTRUMENTS = [0, 1, 7, 2**63 - 1]

quotes = st.builds(
    Quote,
    st.sampled_from(INSTRUMENTS),
    st.integers(1, 400).map(lambda quarter: quarter / 4),
    st.integers(0, 100).map(float),
    st.builds(
        lambda minute, second: minute * MINUTE_MS + second * 1_000,
        st.integers(0, 9),
        st.sampled_from([0, 30, 59]),
    ),
)


def columns_of(
    price: Sequence[float], size: Sequence[float], ts_ms: Sequence[int] | Ints
) -> QuoteColumns:
    """Return quotes as a fold takes them, of no instrument."""
    nothing = np.zeros(len(price), np.int64)
    return QuoteColumns(
        index=nothing,
        instrument_id=nothing,
        price=np.array(price, np.float64),
        size=np.array(size, np.float64),
        ts_ms=np.array(ts_ms, np.int64),
    )


def recomputed(
    log: Sequence[Quote | None], retention: int, incarnation: int
) -> dict[int, dict[int, BarValue]]:
    """Bars computed by hand, those retained at the end, by instrument and minute."""
    of_bar: dict[tuple[int, int], list[tuple[int, Quote]]] = defaultdict(list)
    newest: dict[int, int] = defaultdict(int)
    for offset, quote in enumerate(log):
        if quote is None:
            continue
        of_bar[quote.instrument_id, quote.minute].append((offset, quote))
        newest[quote.instrument_id] = max(newest[quote.instrument_id], quote.minute)
    result: dict[int, dict[int, BarValue]] = defaultdict(dict)
    for (instrument, minute), placed in of_bar.items():
        if minute > newest[instrument] - retention:
            result[instrument][minute] = bar_of(placed, incarnation)
    return result


def bar_of(placed: list[tuple[int, Quote]], incarnation: int) -> BarValue:
    """Return the bar of quotes, each given with its offset."""
    return bars.bar_of(
        Placed(quote.ts_ms, LogPosition(incarnation, offset), quote.price, quote.size)
        for offset, quote in placed
    )
