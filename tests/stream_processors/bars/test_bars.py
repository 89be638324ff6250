"""Quotes to bars in the store, with workers stopped or replaced at any point."""

from collections.abc import Iterator
from itertools import cycle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import messages
from contracts.bars import BarValue
from contracts.keyspace import NEWEST_FIELD
from contracts.log_position import LogPosition
from contracts.messages import encode
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES
from stream_processors.bars import bars as bars_module
from stream_processors.bars import table as tables
from stream_processors.bars.stored import from_values, to_values
from tests.examples import examples
from tests.stream_processors.folding import folds_of_quotes
from tests.stream_processors.simulation import KEYSPACE, Plan, World, plans, play, small_steps

from .plain_bars import Quote, quotes, recomputed

PARTITIONS = 2
PARTITION = instrument_partition(7, PARTITIONS)
HERE = [i for i in (0, 7, 2**63 - 1) if instrument_partition(i, PARTITIONS) == PARTITION]

records = quotes | quotes | quotes | st.none()
logs = st.lists(records, min_size=1, max_size=8) | st.lists(records, min_size=12, max_size=30)
retentions = st.integers(1, 5)


@pytest.fixture(autouse=True, scope="module")
def _small_steps() -> Iterator[None]:
    with small_steps(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(bars_module, "_MAX_CHANGED", 1)
        patch.setattr(tables, "_EVICT_AT_LEAST", 1)
        patch.setattr(tables, "_CACHED_MINUTES", 1)
        yield


def simulate(log: list[Quote | None], plan: Plan, retention: int) -> World:
    """Return the world after all is folded; None in the log stands for an invalid record."""
    world = World(
        sizes=cycle(plan.sizes),
        make={
            QUOTES: lambda claim, _store, producer: folds_of_quotes(
                claim,
                producer,
                partitions=PARTITIONS,
                retention_minutes=retention,
                expire_s=60,
                close_after_s=10,
            )
        },
    )
    for quote in log:
        world.log_of(QUOTES, PARTITION, b"[]" if quote is None else record_of(quote))
    play(world, [(QUOTES, PARTITION)], plan)
    return world


def record_of(quote: Quote) -> bytes:
    return encode(
        messages.Quote(
            instrument_id=quote.instrument_id, price=quote.price, size=quote.size, ts=quote.ts_ms
        )
    )


def in_place(log: list[Quote | None]) -> list[Quote | None]:
    """None for records that cannot be folded in this partition."""
    return [quote if quote and quote.instrument_id in HERE else None for quote in log]


def stored_bars(world: World) -> dict[int, dict[int, BarValue]]:
    return {
        instrument: {
            int(name) // 60: msgspec.json.decode(value, type=BarValue)
            for name, value in stored.items()
            if name != NEWEST_FIELD
        }
        for instrument in (0, 7, 2**63 - 1)
        if (stored := world.data.get(KEYSPACE.bars(PARTITION, instrument)))
    }


def test_the_partition_has_some_of_the_instruments_and_not_all() -> None:
    assert 0 < len(HERE) < 3


@examples(150)
@given(log=logs, plan=plans, retention=retentions)
def test_the_store_ends_with_the_bars_of_a_batch_recomputation_and_no_others(
    log: list[Quote | None], plan: Plan, retention: int
) -> None:
    world = simulate(log, plan, retention)
    good = in_place(log)
    assert stored_bars(world) == recomputed(good, retention, incarnation=0)
    for instrument in {quote.instrument_id for quote in good if quote}:
        newest = max(q.minute for q in good if q and q.instrument_id == instrument)
        stored = world.data[KEYSPACE.bars(PARTITION, instrument)]
        assert stored[NEWEST_FIELD] == str(newest * 60)


@examples(50)
@given(log=logs, plan=plans)
def test_every_record_that_cannot_be_folded_reaches_the_dead_letters(
    log: list[Quote | None], plan: Plan
) -> None:
    world = simulate(log, plan, retention=60)
    lost = {b"%d" % offset for offset, quote in enumerate(in_place(log)) if quote is None}
    assert {letter["offset"] for letter in world.headers} == lost
    for letter in world.headers:
        broken = log[int(letter["offset"])] is None
        assert (b"does not belong to partition" in letter["reason"]) == (not broken)
        assert (letter["topic"], letter["partition"]) == (b"quotes", b"%d" % PARTITION)


prices = st.floats(0, exclude_min=True, allow_nan=False, allow_infinity=False)


@given(
    bar=st.builds(
        BarValue,
        o=prices,
        h=prices,
        l=prices,
        c=prices,
        v=prices,
        n=st.integers(1, 2**53),
        pv=prices,
        ot=st.integers(0, 2**53),
        ct=st.integers(0, 2**53),
        off=st.builds(LogPosition, st.integers(0, 2**15 - 1), st.integers(0, 2**48 - 1)),
    )
)
def test_a_stored_bar_is_read_back_to_the_last_digit(bar: BarValue) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(bar), type=BarValue)
    (written,) = to_values(from_values([5], [stored]))
    assert msgspec.json.decode(written, type=BarValue) == bar
