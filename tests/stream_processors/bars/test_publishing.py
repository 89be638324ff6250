"""Quotes to the topic of closed bars, with workers stopped or replaced at any point."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, repeat

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.bar_messages import ClosedBar
from contracts.bars import BarValue
from contracts.keyspace import CLOSED_FIELD
from contracts.log_position import NOTHING, mark
from contracts.messages import Quote, encode
from contracts.times import MINUTE_MS
from contracts.topics import BARS, QUOTES
from stream_processors.bars.closing import IDLE_AFTER_S
from stream_processors.decoding.quotes import Quotes
from stream_processors.partition.fold import Folds
from tests.examples import examples
from tests.stream_processors.folding import folds_of_quotes
from tests.stream_processors.in_memory import InMemoryClaim, InMemoryProducer, flush
from tests.stream_processors.records import batch_of
from tests.stream_processors.simulation import KEYSPACE, Plan, World, plans

from .plain_bars import bar_of, minute_of, quotes
from .test_bars import HERE, PARTITION, simulate
from .test_closing import Clock

pytestmark = pytest.mark.usefixtures("in_small_steps")

Placed = list[tuple[int, Quote]]
"""quotes of a bar, each with its offset"""

logs = st.lists(quotes, min_size=1, max_size=8) | st.lists(quotes, min_size=12, max_size=30)
retentions = st.integers(1, 5)
lateness_s = st.sampled_from([0, 10, 90])
CLOCKS: dict[str, Callable[[], Iterator[float]]] = {
    "stands still": lambda: repeat(1e9),
    "makes every wait a long one": lambda: count(1e9, 50.0),
}


@dataclass(frozen=True, slots=True)
class Expected:
    """What the topic must have of an instrument's minute."""

    placed: Placed
    is_retained: bool
    on_time: int
    """offset of the last quote that is not late in any batching of the log; -1 if all may be late,
    and the bar may be missing"""


def expected_of(log: list[Quote], retention: int) -> dict[tuple[int, int], Expected]:
    placed: dict[tuple[int, int], Placed] = defaultdict(list)
    on_time: dict[tuple[int, int], int] = defaultdict(lambda: NOTHING)
    newest: dict[int, int] = defaultdict(lambda: -1)
    for offset, quote in enumerate(log):
        if quote.instrument_id not in HERE:
            continue
        bar = quote.instrument_id, minute_of(quote)
        placed[bar].append((offset, quote))
        if minute_of(quote) > newest[quote.instrument_id] - retention:
            on_time[bar] = offset
        newest[quote.instrument_id] = max(newest[quote.instrument_id], minute_of(quote))
    return {
        bar: Expected(its, bar[1] > newest[bar[0]] - retention, on_time[bar])
        for bar, its in placed.items()
    }


def published(world: World) -> dict[tuple[int, int], list[ClosedBar]]:
    """All bars in the topic, by instrument and minute."""
    versions = defaultdict(list)
    for key, value in world.logs[BARS.name, PARTITION]:
        assert value is not None
        bar = msgspec.json.decode(value, type=ClosedBar)
        assert key == b"%d" % bar.instrument_id
        versions[bar.instrument_id, bar.t // MINUTE_MS].append(bar)
    return versions


def closed_bar(instrument_id: int, placed: Placed, revision: int) -> ClosedBar:
    """The bar of the quotes up to a revision."""
    value: BarValue = bar_of([(at, quote) for at, quote in placed if mark(0, at) <= revision], 0)
    fields = msgspec.structs.asdict(value)
    fields["revision"] = fields.pop("off").mark
    return ClosedBar(instrument_id=instrument_id, t=minute_of(placed[0][1]) * MINUTE_MS, **fields)


@examples(150)
@given(
    log=logs,
    plan=plans,
    retention=retentions,
    late_by_s=lateness_s,
    clock=st.sampled_from([*CLOCKS]),
)
def test_the_greatest_revision_of_each_closed_minute_is_a_batch_recomputations_bar(
    log: list[Quote], plan: Plan, retention: int, late_by_s: int, clock: str
) -> None:
    world = simulate(log, plan, retention, late_by_s, CLOCKS[clock]())
    versions, expected = published(world), expected_of(log, retention)
    newest_ts_ms = max((q.ts for q in log if q.instrument_id in HERE), default=0)
    closed = max(-1, (newest_ts_ms - late_by_s * 1000) // MINUTE_MS - 1)
    stored = int(world.data[KEYSPACE.position(QUOTES, PARTITION)][CLOSED_FIELD]) // 60
    assert stored == closed or (stored > closed and clock != "stands still")
    for (instrument, minute), its in expected.items():
        if minute <= stored or not its.is_retained:
            revisions = [bar.revision for bar in versions[instrument, minute]]
            greatest = max(revisions, default=NOTHING)
            assert greatest >= its.on_time  # of the first incarnation, the mark is the offset
            assert greatest == mark(0, its.placed[-1][0]) or not its.is_retained
    for (instrument, minute), bars in versions.items():
        for bar in bars:
            placed = expected[instrument, minute].placed
            assert bar == closed_bar(instrument, placed, bar.revision)


@examples(50)
@given(log=logs, sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6), late_by_s=lateness_s)
def test_without_a_crash_no_revision_comes_twice_and_no_minute_before_it_is_closed(
    log: list[Quote], sizes: list[int], late_by_s: int
) -> None:
    world = simulate(log, Plan(sizes, 0, []), 60, late_by_s, repeat(1e9))
    stored = int(world.data[KEYSPACE.position(QUOTES, PARTITION)][CLOSED_FIELD]) // 60
    for (_, minute), bars in published(world).items():
        assert minute <= stored
        revisions = [bar.revision for bar in bars]
        assert revisions == sorted(set(revisions))


def fold_of(claim: InMemoryClaim, producer: InMemoryProducer, clock: Clock) -> Folds[Quotes]:
    return folds_of_quotes(claim.as_claim(), producer, clock_s=clock)


async def test_a_flush_that_only_closes_minutes_writes_the_position_and_nothing_else() -> None:
    """Otherwise it would look for its own chunks, removed by a call whose reply was lost."""
    clock, producer = Clock(), InMemoryProducer()
    fold = fold_of(InMemoryClaim({}, QUOTES), producer, clock)
    await fold.take(batch_of(QUOTES.name, 0, [(0, encode(Quote(instrument_id=7, price=1, ts=0)))]))
    assert [*(await fold.unwritten()).groups]
    fold.written()
    assert not producer.logs
    clock.now_s += IDLE_AFTER_S + 10
    assert fold.is_due
    unwritten = await fold.unwritten()
    assert ([*unwritten.groups], unwritten.fields[CLOSED_FIELD]) == ([], "0")
    assert len(producer.logs[BARS.name, 0]) == 1


async def test_a_worker_without_quotes_closes_the_minutes_that_the_previous_one_left() -> None:
    clock, producer, claim = Clock(), InMemoryProducer(), InMemoryClaim(defaultdict(dict), QUOTES)
    log = enumerate(
        encode(Quote(instrument_id=instrument, price=1, ts=0)) for instrument in range(5)
    )
    before = fold_of(claim, producer, clock)
    await before.take(batch_of(QUOTES.name, 0, log))
    await flush(before, claim)
    after = fold_of(claim, producer, clock)
    assert after.is_due
    await after.unwritten()
    assert not producer.logs
    assert not after.is_due
    clock.now_s += IDLE_AFTER_S + 10
    assert after.is_due
    await after.unwritten()
    assert {record.key for record in producer.logs[BARS.name, 0]} == {b"%d" % n for n in range(5)}
