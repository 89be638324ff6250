"""Minute bars, worked out quote by quote."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tests.chaos.truth.messages import Marked


def bars_of(quotes: Sequence[Marked]) -> dict[int, dict[int, Any]]:
    """Return the bars by instrument and start of the minute in epoch seconds."""
    of_bar = defaultdict(list)
    for mark, quote in quotes:
        start_s = quote["ts"] // 60_000 * 60
        of_bar[quote["instrument_id"], start_s].append(
            (quote["ts"], mark, quote["price"], quote.get("size", 0))
        )
    bars: dict[int, dict[int, Any]] = defaultdict(dict)
    for (instrument, start_s), folded in of_bar.items():
        folded.sort()
        (open_ts_ms, _, first, _), (close_ts_ms, _, last, _) = folded[0], folded[-1]
        prices = [price for _, _, price, _ in folded]
        bars[instrument][start_s] = {
            "o": first,
            "h": max(prices),
            "l": min(prices),
            "c": last,
            "v": sum(size for _, _, _, size in folded),
            "n": len(folded),
            "pv": sum(price * size for _, _, price, size in folded),
            "ot": open_ts_ms,
            "ct": close_ts_ms,
            "off": list(max(mark for _, mark, _, _ in folded)),
        }
    return bars
