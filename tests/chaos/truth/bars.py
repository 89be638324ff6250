"""Minute bars of the log's quotes, as Redis has them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from contracts.keyspace import NEWEST_FIELD
from contracts.log_position import LogPosition
from contracts.topics import QUOTES
from tests.chaos.truth.expected import Name, Run
from tests.chaos.truth.messages import Marked, good
from tests.oracles.bars import Placed, bar_of


def expected(run: Run) -> Iterator[tuple[Name, Any]]:
    for p in range(run.topology.quotes):
        for instrument, of_minute in bars_of(good(run.log.counted((QUOTES.name, p)))).items():
            key, newest_s = run.keyspace.bars(p, instrument), max(of_minute)
            yield (key, NEWEST_FIELD), newest_s
            for second, bar in of_minute.items():
                if second > newest_s - run.retention_minutes * 60:
                    yield (key, str(second)), bar


def compared(kind: str, _rest: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the bars; when a minute is closed depends on the clock, too."""
    return fields if kind == "bars" else {}


def bars_of(quotes: Sequence[Marked]) -> dict[int, dict[int, Any]]:
    of_bar: dict[tuple[int, int], list[Placed]] = defaultdict(list)
    for mark, quote in quotes:
        start_s = quote["ts"] // 60_000 * 60
        of_bar[quote["instrument_id"], start_s].append(Placed(LogPosition(*mark), quote))
    bars: dict[int, dict[int, Any]] = defaultdict(dict)
    for (instrument, start_s), its in of_bar.items():
        bars[instrument][start_s] = msgspec.to_builtins(bar_of(its))
    return bars
