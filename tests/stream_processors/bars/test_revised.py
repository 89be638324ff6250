"""The position of a partition shows whether bars of past hours have changed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given

from contracts.keyspace import (
    CHUNK_FIELD_PREFIX,
    EPOCH_FIELD,
    NEWEST_FIELD,
    REVISED_FIELD,
)
from contracts.messages import Quote, encode
from contracts.topics import QUOTES
from stream_processors.bars import table
from tests.examples import examples
from tests.stream_processors.folding import folds_of_quotes
from tests.stream_processors.in_memory import InMemoryClaim, InMemoryProducer
from tests.stream_processors.records import batch_of
from tests.stream_processors.simulated_store import SimulatedStore
from tests.stream_processors.simulation import KEYSPACE, Plan, plans

from .plain_bars import INSTRUMENTS
from .test_bars import PARTITION, logs, retentions, simulate

HOUR = 2
"""minutes"""

pytestmark = pytest.mark.usefixtures("in_small_steps")

Past = dict[int, tuple[int, dict[int, str]]]
"""instrument -> the minute where its newest hour begins, and its bars before"""


class Watch:
    """Looks at the store after each script call."""

    def __init__(self, retention: int) -> None:
        self._retention = retention
        self._seen: dict[str, Past] = {}
        self.revised: set[str] = set()

    def look(self, data: dict[str, Any]) -> None:
        position = data.get(KEYSPACE.position(QUOTES, PARTITION), {})
        revised, epoch = position.get(REVISED_FIELD, ""), position.get(EPOCH_FIELD)
        unfinished = {f"{CHUNK_FIELD_PREFIX}{n}" for n in (1, 2)} & position.keys()
        if unfinished or not revised.startswith(f"{epoch}:"):
            return
        self.revised.add(revised)
        now = {i: bars for i in INSTRUMENTS if (bars := data.get(KEYSPACE.bars(PARTITION, i)))}
        before = self._seen.setdefault(revised, {})
        for instrument, bars in now.items():
            newest = int(bars[NEWEST_FIELD]) // 60
            minutes = {int(f) // 60: value for f, value in bars.items() if f != NEWEST_FIELD}
            end, past = before.setdefault(instrument, (newest // HOUR * HOUR, minutes))
            first = newest - self._retention + 1
            assert self._of(minutes, first, end) == self._of(past, first, end)

    def _of(self, bars: dict[int, str], first: int, end: int) -> dict[int, str]:
        return {minute: value for minute, value in bars.items() if first <= minute < end}


@contextmanager
def watching(retention: int) -> Iterator[Watch]:
    """Look at the store after each script call of the block, in which hours are short."""
    watch, run = Watch(retention), SimulatedStore._run

    def watched(self: SimulatedStore, *arguments: Any) -> list[Any]:
        answer = run(self, *arguments)
        watch.look(self.data)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "_HOUR_MINUTES", HOUR)
        patch.setattr(SimulatedStore, "_run", watched)
        yield watch


@examples(150)
@given(log=logs, plan=plans, retention=retentions)
def test_bars_of_past_hours_stay_while_the_position_says_so_and_no_flush_is_unfinished(
    log: list[Quote | None], plan: Plan, retention: int
) -> None:
    with watching(retention) as watch:
        simulate(log, plan, retention)
    assert watch.revised


async def revised_after(flushes: Sequence[Sequence[tuple[int, int]]]) -> list[str]:
    """Return what each flush says, given the instrument and minute of each of its quotes."""
    claim = InMemoryClaim({}, QUOTES, PARTITION, epoch="9")
    fold = folds_of_quotes(claim.as_claim(), InMemoryProducer(), partitions=2)
    said = [fold.begun().fields[REVISED_FIELD]]
    offset = 0
    for quotes in flushes:
        for instrument, minute in quotes:
            quote = Quote(instrument_id=instrument, price=1.0, ts=60_000 * minute)
            await fold.take(batch_of("quotes", PARTITION, [(offset, encode(quote))]))
            offset += 1
        said.append((await fold.unwritten()).fields[REVISED_FIELD])
    return said


@pytest.mark.parametrize(
    ("flushes", "revisions"),
    [
        ([[(7, 60)], [(7, 75), (7, 61)], [(7, 120)], [(7, 121)]], [0, 0, 0, 0, 0]),
        ([[(7, 119), (7, 120)], [(7, 121)]], [0, 1, 1]),
        ([[(7, 120)], [(7, 119)], [(7, 120)], [(7, 118), (7, 117)]], [0, 0, 1, 1, 2]),
        ([[(7, 120)], [(0, 119)]], [0, 0, 0]),
    ],
    ids=["in order", "over an hour's end", "late", "of another instrument"],
)
async def test_only_changes_of_an_earlier_hour_than_the_instrument_s_newest_count(
    flushes: list[list[tuple[int, int]]], revisions: list[int]
) -> None:
    assert await revised_after(flushes) == [f"9:{n}" for n in revisions]
