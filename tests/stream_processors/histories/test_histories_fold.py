"""What a fold of histories reads and rejects, and how much it takes at once."""

import numpy as np
import pytest

from contracts.log_position import mark
from contracts.messages import Interaction, Rejection
from contracts.topics import INTERACTIONS
from runtime.topology import Topology
from stream_processors.decoding import interactions
from stream_processors.histories import histories as histories_module
from stream_processors.histories import history as history_module
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.history import ENTRY, History, HistoryCache
from tests.stream_processors.folding import (
    BINARY,
    batch_of_events,
    decoding,
    histories_in_memory,
)
from tests.stream_processors.in_memory import KEYSPACE, InMemoryClaim, InMemoryProducer, flush
from tests.stream_processors.records import batch_of
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
    values = batch_of(INTERACTIONS.name, 0, [(0, None), (1, None)], keys={1: b"\xff"})
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
