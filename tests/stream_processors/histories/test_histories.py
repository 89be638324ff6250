"""What a fold of histories reads and rejects, how much it takes at once, and how it stores them.

`test_outgoing` compares whole histories, and their changes of G, with a recomputation.
"""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import binary, weighted
from contracts.event_types import BUILT_IN
from contracts.log_position import mark
from contracts.messages import Interaction, Rejection
from contracts.topics import INTERACTIONS
from runtime.topology import Topology
from stream_processors.decoding import interactions
from stream_processors.histories import histories as histories_module
from stream_processors.histories import history as history_module
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.history import ENTRY, SCALED_ENTRY, History, HistoryCache
from stream_processors.histories.scaled_fold import InverseDegree, MeanValue, fold_scaled_event
from stream_processors.histories.stored import history_commands, history_of
from stream_processors.settings import Settings
from stream_processors.store.chunks import Group, command
from tests.stream_processors.folding import (
    BINARY,
    KEYSPACE,
    InMemoryClaim,
    InMemoryProducer,
    batch_of,
    batch_of_events,
    decoding,
    flush,
    histories_in_memory,
)
from tests.stream_processors.simulated_store import Hashes


async def test_histories_in_memory_are_not_read_again() -> None:
    data: Hashes = {}
    histories, claim = histories_in_memory(data)
    log = [Interaction(user_id=user, instrument_id=item, ts=0) for item in (1, 2) for user in "AB"]
    for at in range(len(log)):
        await histories.take(batch_of_events(log, at, at + 1))
        await flush(histories, claim)
    assert claim.reads == 2 + 1, "and whether any user was erased"


async def test_a_tombstone_without_a_user_is_rejected() -> None:
    histories, _ = histories_in_memory({})
    values = batch_of(INTERACTIONS.name, 0, [(0, None), (1, None, b"\xff")])
    rejections = await histories.take(values)
    assert [place for place, _ in rejections] == [0, 1]
    assert isinstance(rejections[0], Rejection)
    assert "no key that names the user" in rejections[0].reason


async def test_marks_carry_the_logs_incarnation_and_no_record_is_folded_twice() -> None:
    data: Hashes = {}
    claim = InMemoryClaim(data, INTERACTIONS, incarnation=3)
    histories = HistoriesFold(claim.as_claim(), InMemoryProducer(), Topology(1, 1, 1), BINARY)
    records = batch_of_events([Interaction(user_id="A", instrument_id=1, ts=0)], 0, 1)
    for is_new in (True, False):
        await histories.take(decoding(interactions.decode, 1)(records)[0])
        assert bool(histories._cache.changed) == is_new
        await flush(histories, claim)
    assert data[KEYSPACE.history(0, "A")]["off"] == "[3,0]"
    assert histories._cache.get("A").mark == mark(3, 0)


async def test_longer_histories_mean_fewer_records_per_batch() -> None:
    histories, _ = histories_in_memory({})
    at_once = [histories.records_at_once]
    short = [Interaction(user_id=str(user), instrument_id=0, ts=0) for user in range(1_000)]
    log = [*short, *(Interaction(user_id="A", instrument_id=item, ts=0) for item in range(400))]
    at = 0
    while at < len(log):
        end = min(len(log), at + min(at_once[-1], 50))
        await histories.take(batch_of_events(log, at, end))
        at = end
        at_once.append(histories.records_at_once)
    rows = histories_module._ROWS_UNPUBLISHED
    assert at_once[0] == round(rows / (2 * 500))
    assert max(at_once) == histories_module._RECORDS_AT_ONCE.stop
    assert rows / 400 < at_once[-1] < rows / 300


async def test_a_fold_is_full_when_many_rows_are_unpublished_or_many_items_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = [Interaction(user_id="A", instrument_id=item, ts=0) for item in range(3)]
    for name, bound in (("_ROWS_UNPUBLISHED", 1 + 2 + 3), ("_ITEMS_CACHED", 16)):
        with monkeypatch.context() as patch:
            patch.setattr(histories_module, name, bound)
            histories, claim = histories_in_memory({})
            assert not histories.is_full
            await histories.take(batch_of_events(log, 0, 3))
            assert histories.is_full
            await flush(histories, claim)
            assert not histories.is_full


def test_the_least_recently_changed_history_is_forgotten_first() -> None:
    cache = HistoryCache(2 * (history_module._OVERHEAD + 1))
    for user, unknown in (("A", "BCD"), ("B", "CD"), ("C", "AD"), ("B", "AD"), ("D", "AC")):
        if user in cache.unknown("ABCD"):
            cache.insert(user, History(np.zeros(1, ENTRY)))
        cache.change(user)
        cache.settle()
        assert cache.unknown("ABCD") == list(unknown)


KEY = KEYSPACE.history(0, "A")
ids = st.integers(0, 2**63 - 1)
times = st.integers(0, 2**50)
floats = st.floats(1e-300, 1e300) | st.integers(1, 2**60).map(float)
plain_entries = st.tuples(ids, floats, times, times)
scaled_entries = st.tuples(ids, floats, times, times, floats, floats, st.integers(0, 9))


def history(entries: list[tuple[float, ...]], *, scaled: bool, at: int = 7) -> History:
    rows = np.array(entries, SCALED_ENTRY if scaled else ENTRY)
    its = History(rows, at)
    its.touched = {int(item) for item in rows["item"]}
    return its


def reread(data: Hashes, *, scaled: bool) -> History:
    claim = InMemoryClaim(data, INTERACTIONS)
    return history_of(claim.execute(Group(KEY, command("HGETALL", [])))[0], scaled=scaled)


def write(data: Hashes, its: History) -> None:
    InMemoryClaim(data, INTERACTIONS).execute(Group(KEY, history_commands("A", its)))


@given(
    entries=st.lists(plain_entries, unique_by=lambda entry: entry[0], max_size=6)
    | st.lists(scaled_entries, unique_by=lambda entry: entry[0], max_size=6)
)
def test_a_history_is_read_back_as_it_was_written(entries: list[tuple[float, ...]]) -> None:
    scaled = bool(entries) and len(entries[0]) > len(ENTRY)
    written = history(entries, scaled=scaled, at=mark(2, 9))
    stored: Hashes = {}
    write(stored, written)
    read = reread(stored, scaled=scaled)
    assert read.mark == mark(2, 9)
    # The values of an item without any are not written.
    expected = [e if len(e) == 4 or e[-1] else (*e[:-2], e[-2], 0) for e in entries]
    assert sorted(read.entries.tolist()) == sorted(expected)
    last = {"A": str(max(e[2] for e in entries))} if entries else {}
    assert stored.get(KEYSPACE.active(0), {}) == last


@pytest.mark.parametrize(
    ("affinity", "text"),
    [(1.0, "1"), (0.5, "0.5"), (2.0**53 - 1, "9007199254740991"), (2.0**53, "9007199254740992.0"),
     (2.0**70, "1.1805916207174113e21")],
)  # fmt: skip
def test_only_whole_numbers_below_2_to_the_53_are_written_as_ints(
    affinity: float, text: str
) -> None:
    data: Hashes = {}
    write(data, history([(4, affinity, 0, 0)], scaled=False))
    assert data[KEY]["4"] == f'{{"r":{text},"t":0}}'
    assert msgspec.json.decode(data[KEY]["4"])["r"] == affinity


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_while_a_history_grows_no_item_lags_behind_by_more_than_half_its_length(
    exponent: float,
) -> None:
    history, cap, weight = History.empty(scaled=True), 500, InverseDegree(exponent)
    for n in range(1, 400):
        fold_scaled_event(history, 9, n, 1, n, math.nan, cap, binary, weight)
        assert history.entries["scale"].max() <= (n / 2) ** -exponent


@pytest.mark.parametrize(
    ("values", "scale"),
    [([], 1.0), ([math.nan], 1.0), ([20.0, 60.0], 2.0), ([math.inf], 10.0), ([1e-300], 0.1)],
)
def test_a_users_value_is_the_mean_relative_to_the_typical_one_within_bounds(
    values: list[float], scale: float
) -> None:
    history, weight = History.empty(scaled=True), MeanValue(1 / 3, 5.0)
    history.add(1, 1.0, 0)
    for value in values:
        weight.note(history, 0, value)
    assert weight.scale(history) == pytest.approx(scale)


def test_the_shortest_allowed_half_life_overflows_no_sum_until_2038() -> None:
    shortest = next(m.ge for m in Settings.model_fields["half_life_days"].metadata)
    one_event = weighted(shortest)(0.0, BUILT_IN["trade"], 2_145_916_800_000)
    users_x_events = 1e8 * 1e3
    assert math.isfinite(one_event * one_event * users_x_events)
