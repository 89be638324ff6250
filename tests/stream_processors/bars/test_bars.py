"""Quotes to bars in the store, with workers stopped or replaced at any point."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.bars import BarValue
from contracts.log_position import LogPosition
from contracts.messages import Quote, encode
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES
from stream_processors.bars.stored import from_values, to_values
from stream_processors.decoding.quotes import Quotes
from stream_processors.partition.fold import Folds
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.producer import Producer
from tests.examples import examples
from tests.stream_processors.folding import folds_of_quotes
from tests.stream_processors.simulation import Plan, World, plans, play

from .plain_bars import INSTRUMENTS, quotes

PARTITIONS = 2
PARTITION = instrument_partition(7, PARTITIONS)
HERE = [i for i in INSTRUMENTS if instrument_partition(i, PARTITIONS) == PARTITION]

records = quotes | quotes | quotes | st.none()
logs = st.lists(records, min_size=1, max_size=8) | st.lists(records, min_size=12, max_size=30)
retentions = st.integers(1, 5)


pytestmark = pytest.mark.usefixtures("in_small_steps")


def simulate(
    log: Sequence[Quote | None],
    plan: Plan,
    retention: int,
    late_by_s: float = 10,
    clock: Iterator[float] | None = None,
) -> World:
    """Return the world after all is folded; None in the log stands for an invalid record."""
    arguments: dict[str, Any] = {"retention_minutes": retention, "close_after_s": late_by_s}
    if clock is not None:
        arguments["clock_s"] = clock.__next__

    def make(claim: Claim, _store: Store, producer: Producer) -> Folds[Quotes]:
        return folds_of_quotes(claim, producer, partitions=PARTITIONS, **arguments)

    world = World(sizes=cycle(plan.sizes), make={QUOTES: make})
    for quote in log:
        world.log_of(QUOTES, PARTITION, b"[]" if quote is None else encode(quote))
    play(world, [(QUOTES, PARTITION)], plan)
    return world


def in_place(log: list[Quote | None]) -> list[Quote | None]:
    """None for records that cannot be folded in this partition."""
    return [quote if quote and quote.instrument_id in HERE else None for quote in log]


def test_the_partition_has_some_of_the_instruments_and_not_all() -> None:
    assert 2 < len(HERE) < len(INSTRUMENTS)  # some are forgotten


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
