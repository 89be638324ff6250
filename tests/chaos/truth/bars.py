"""Minute bars of the log's quotes, as Redis has them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from contracts.log_position import LogPosition
from tests.chaos.truth.messages import Marked
from tests.oracles.bars import Placed, bar_of


def bars_of(quotes: Sequence[Marked]) -> dict[int, dict[int, Any]]:
    """Return the bars by instrument and start of the minute in epoch seconds."""
    of_bar: dict[tuple[int, int], list[Placed]] = defaultdict(list)
    for mark, quote in quotes:
        start_s = quote["ts"] // 60_000 * 60
        of_bar[quote["instrument_id"], start_s].append(Placed(LogPosition(*mark), quote))
    bars: dict[int, dict[int, Any]] = defaultdict(dict)
    for (instrument, start_s), its in of_bar.items():
        bars[instrument][start_s] = msgspec.to_builtins(bar_of(its))
    return bars
