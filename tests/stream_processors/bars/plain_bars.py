"""Batch recomputation of bars from a log of quotes, in plain Python."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from msgspec.structs import asdict

from contracts.bars import BarValue
from contracts.batches import QuoteColumns
from contracts.log_position import LogPosition
from contracts.messages import QUOTE_COLUMNS, Quote
from contracts.times import MINUTE_MS
from tests.oracles import bars
from tests.oracles.bars import Placed

INSTRUMENTS = [0, 1, 7, 2**63 - 1]

quotes = st.builds(
    Quote,
    instrument_id=st.sampled_from(INSTRUMENTS),
    price=st.integers(1, 400).map(lambda quarter: quarter / 4),
    ts=st.builds(
        lambda minute, second: minute * MINUTE_MS + second * 1_000,
        st.integers(0, 9),
        st.sampled_from([0, 30, 59]),
    ),
    **{c.name: st.integers(0, 100).map(float) for c in QUOTE_COLUMNS if not c.is_required},
)


def minute_of(quote: Quote) -> int:
    return quote.ts // MINUTE_MS


def columns_of(quotes: Sequence[Quote]) -> QuoteColumns:
    """Return quotes as a fold takes them."""
    columns = {
        c.name: np.array([getattr(quote, c.name) for quote in quotes], c.kind)
        for c in QUOTE_COLUMNS
    }
    return QuoteColumns(np.arange(len(quotes)), columns)


def recomputed(
    log: Sequence[Quote | None], retention: int, incarnation: int
) -> dict[int, dict[int, BarValue]]:
    """Bars computed by hand, those retained at the end, by instrument and minute."""
    of_bar: dict[tuple[int, int], list[tuple[int, Quote]]] = defaultdict(list)
    newest: dict[int, int] = defaultdict(int)
    for offset, quote in enumerate(log):
        if quote is None:
            continue
        of_bar[quote.instrument_id, minute_of(quote)].append((offset, quote))
        newest[quote.instrument_id] = max(newest[quote.instrument_id], minute_of(quote))
    result: dict[int, dict[int, BarValue]] = defaultdict(dict)
    for (instrument, minute), placed in of_bar.items():
        if minute > newest[instrument] - retention:
            result[instrument][minute] = bar_of(placed, incarnation)
    return result


def bar_of(placed: list[tuple[int, Quote]], incarnation: int) -> BarValue:
    """Return the bar of quotes, each given with its offset."""
    return bars.bar_of(
        Placed(LogPosition(incarnation, offset), asdict(quote)) for offset, quote in placed
    )
