"""The bars of an answer: what they must be, wherever their minutes were read."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from api.bars.answers import Bar
from contracts.bars import BarValue, fields_of

from .bars import MERGES


def served_bars(
    minutes: Mapping[int, BarValue], buckets: Iterable[tuple[int, int]], now_ms: int, fill: str
) -> list[dict[str, Any]]:
    """Return the bars of an answer, as JSON.

    Args:
        minutes: by their start in epoch ms.
        buckets: start and end of each, in order, epoch ms.
        now_ms: the clock of the answer.
        fill: `previous` repeats the close in buckets without minutes.
    """
    fields, stored, found = fields_of(Bar), sorted(minutes), list[dict[str, Any]]()
    for start, end in buckets:
        own = [minutes[at] for at in stored[bisect_left(stored, start) : bisect_left(stored, end)]]
        if own:
            values = {
                letter: MERGES[field.merge]([getattr(one, letter) for one in own])
                for letter, field in fields.items()
            }
            volume, traded = values["v"], sum(one.pv for one in own)
            # A division may leave the extremes by a digit.
            vw = min(max(traded / volume, values["l"]), values["h"]) if volume else None
        elif fill == "previous" and found:
            close, vw = found[-1]["c"], None
            values = {name: close if of.kind == "price" else 0 for name, of in fields.items()}
        else:
            continue
        bar = Bar(t=start, vw=vw, closed=end <= now_ms, **values)
        found.append(msgspec.to_builtins(bar))
    return found
