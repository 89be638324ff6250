"""Quotes with many ties."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from contracts.batches import QuoteColumns
from contracts.messages import QUOTE_COLUMNS, Quote

quotes = st.builds(
    Quote,
    instrument_id=st.just(0),
    price=st.integers(1, 400).map(lambda quarter: quarter / 4),
    ts=st.integers(0, 4),
    **{c.name: st.integers(0, 100).map(float) for c in QUOTE_COLUMNS if not c.is_required},
)


def columns_of(quotes: Sequence[Quote]) -> QuoteColumns:
    """Return quotes as a fold takes them."""
    columns = {
        c.name: np.array([getattr(quote, c.name) for quote in quotes], c.kind)
        for c in QUOTE_COLUMNS
    }
    return QuoteColumns(np.arange(len(quotes)), columns)
