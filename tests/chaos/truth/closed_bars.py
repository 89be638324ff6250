"""What the topic `bars` must hold: computed quote by quote, without the workers' code.

The greatest revision of each bar whose minute is closed is the bar of all quotes that counted, and
every other revision is the bar of the quotes up to there.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from contracts.topics import BARS, QUOTES
from tests.chaos.log import Log, Mark
from tests.chaos.modes import CLOSE_AFTER_S, RETENTION_MINUTES
from tests.chaos.truth.bars import bars_of
from tests.chaos.truth.messages import Marked, good

Bar = tuple[int, int]
"""instrument, and start of the minute in epoch seconds"""

_OFFSETS: Final = 2**48
"""A revision is this many times the incarnation, and the offset."""


class Folded(NamedTuple):
    quotes: list[Marked]
    on_time: Mark | None
    """of the last quote that was not late, however the log was cut into batches"""
    is_retained: bool


def wrong_closed_bars(
    log: Log, partition: int, closed_s: int, retention_minutes: int = RETENTION_MINUTES
) -> Iterator[str]:
    """Yield differences between the topic and the log of quotes, for bars of this life only.

    Args:
        log: of quotes and bars, read to the end and folded.
        partition: of both.
        closed_s: start of the newest minute, epoch s, that is closed as Redis has it.
        retention_minutes: of the workers.
    """
    if log.is_renumbered((QUOTES.name, partition)):
        return  # revisions begin again below those of the life before
    quotes = good(log.counted((QUOTES.name, partition)))
    if closed_s < (expected := closed_by(quotes)):
        yield f"{BARS.name}/{partition}: closed up to {closed_s} only, not {expected}"
    former = {
        _bar_of(q) for _, q in good((_NOWHERE, r) for r in log.former((QUOTES.name, partition)))
    }
    versions = _versions(log, partition)
    folded = _folded(quotes, retention_minutes * 60)
    for bar in sorted((versions.keys() | folded.keys()) - former):
        its, found = folded.get(bar, _NOTHING), versions.get(bar, {})
        if bar[1] <= closed_s or not its.is_retained:
            yield from _behind(bar, its, max(found, default=-1))
        for revision, published in found.items():
            ours = _at(bar, its.quotes, revision)
            if published != ours:
                yield f"{_name(bar)}: at {revision} the log says {ours}, the topic {published}"


def closed_by(quotes: list[Marked]) -> int:
    """Return the start of the newest minute, epoch s, that quotes have closed."""
    newest_s = max((quote["ts"] for _, quote in quotes), default=0) / 1000
    return (int(newest_s - CLOSE_AFTER_S) // 60 - 1) * 60


def _folded(quotes: list[Marked], retention_s: int) -> Mapping[Bar, Folded]:
    of_bar: dict[Bar, list[Marked]] = defaultdict(list)
    on_time: dict[Bar, Mark] = {}
    newest_s: dict[int, int] = defaultdict(int)
    for mark, quote in quotes:
        instrument, start_s = bar = _bar_of(quote)
        of_bar[bar].append((mark, quote))
        if start_s > newest_s[instrument] - retention_s:
            on_time[bar] = mark
        newest_s[instrument] = max(newest_s[instrument], start_s)
    return {
        bar: Folded(its, on_time.get(bar), bar[1] > newest_s[bar[0]] - retention_s)
        for bar, its in of_bar.items()
    }


def _behind(bar: Bar, its: Folded, greatest: int) -> Iterator[str]:
    """Yield a problem if the greatest revision misses quotes."""
    needed = its.quotes[-1][0] if its.is_retained and its.quotes else its.on_time
    if needed is not None and greatest < _revision(needed):
        yield f"{_name(bar)}: the log says {_revision(needed)}, the topic {greatest}"


def _at(bar: Bar, quotes: list[Marked], revision: int) -> dict[str, Any] | None:
    """Return a bar as it was at a revision, None if none is."""
    upto = [(mark, quote) for mark, quote in quotes if _revision(mark) <= revision]
    if not upto or _revision(upto[-1][0]) != revision:
        return None
    value = bars_of(upto)[bar[0]][bar[1]]
    place = {"instrument_id": bar[0], "t": bar[1] * 1000, "revision": revision}
    return {name: field for name, field in value.items() if name != "off"} | place


def _versions(log: Log, partition: int) -> Mapping[Bar, Mapping[int, dict[str, Any]]]:
    """Return each bar's revisions, of several that are equal the first."""
    versions: dict[Bar, dict[int, dict[str, Any]]] = defaultdict(dict)
    for record in log.records[BARS.name, partition]:
        bar = json.loads(record.value or b"")
        its = versions[bar["instrument_id"], bar["t"] // 1000]
        its.setdefault(bar["revision"], bar)
    return versions


def _bar_of(quote: dict[str, Any]) -> Bar:
    return quote["instrument_id"], quote["ts"] // 60_000 * 60


def _revision(mark: Mark) -> int:
    return mark[0] * _OFFSETS + mark[1]


def _name(bar: Bar) -> str:
    return f"{BARS.name} {bar[0]} {bar[1]}"


_NOWHERE: Final = (0, 0)
_NOTHING: Final = Folded([], None, is_retained=True)
