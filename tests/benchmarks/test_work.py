"""The input of the benchmarks is what they say, and work that was not done does not pass."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
import redis
import typer

from benchmarks.bars import check_bars, make_quotes
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.namespace import Namespace, claimed_ms, folded
from benchmarks.interactions import check_counts, make_events, sum_of_counts
from benchmarks.peers.plain_interactions import Counts
from benchmarks.peers.progress import progress_key, report
from contracts.keyspace import Keyspace
from contracts.messages import Interaction, encode
from contracts.times import MINUTE_MS
from runtime.redis.stores import connect
from runtime.topology import Topology

START_MS = 1_700_000_040_000


@pytest.fixture
def place(store_url: str, namespace: str) -> Iterator[Namespace]:
    with connect(store_url, "tests") as store:
        yield Namespace(store, Keyspace(namespace), Topology(8, 8, 8))


def test_each_instrument_quotes_once_a_second_within_one_minute() -> None:
    quotes = list(make_quotes(1000, 100, START_MS))
    assert len(quotes) == 1000
    for second in range(10):
        of_second = quotes[second * 100 : (second + 1) * 100]
        assert sorted(q.instrument_id for q in of_second) == list(range(100))
        assert {(q.ts - START_MS) // 1000 for q in of_second} == {second}
    assert {q.ts // MINUTE_MS for q in make_quotes(9_000, 100, START_MS)} == {START_MS // MINUTE_MS}


def test_the_sum_of_counts_is_that_of_the_gram_matrix() -> None:
    events = list(make_events(500, 20, 30))
    user_items = np.zeros((20, 30))
    for event in events:
        user_items[int(event.user_id.removeprefix("user-")), event.instrument_id] = 1
    assert sum_of_counts(events) == np.triu(user_items.T @ user_items).sum()


def test_users_with_more_items_than_a_history_keeps_are_refused() -> None:
    events = list(make_events(3_000, 2, 2_000))
    with pytest.raises(typer.BadParameter, match=r"has \d+ items, and a history keeps 500: take"):
        sum_of_counts(events)


def test_bars_that_miss_or_repeat_a_quote_do_not_pass(place: Namespace) -> None:
    place.store.hset(
        place.keys.bars(0, 4), mapping={"newest": "60", "60": '{"n":2}', "0": '{"n":1}'}
    )
    check_bars(place, 3)
    check_bars(place, 2, and_more=True)
    with pytest.raises(ContenderError, match="4 quotes were folded, but the bars in Redis hold 3"):
        check_bars(place, 4)
    with pytest.raises(ContenderError, match="hold 3"):
        check_bars(place, 2)


def test_the_peer_counts_what_the_gram_matrix_has(store_url: str, place: Namespace) -> None:
    events = list(make_events(200, 10, 15))
    with redis.Redis.from_url(store_url) as client:
        peer = Counts(client, place.keys)
        for event in events:
            peer.add(msgspec.json.decode(encode(event), type=Interaction))
    check_counts(place, sum_of_counts(events))
    with pytest.raises(ContenderError, match="add up to"):
        check_counts(place, sum_of_counts(events) + 1)


def test_a_worker_is_ready_when_it_has_claimed_every_partition() -> None:
    claimed = {"epoch": "1", "next": "0", "updated_at_ms": "700"}
    assert claimed_ms([claimed, {}]) is None
    # The epoch comes a moment before the rest.
    assert claimed_ms([claimed, {"epoch": "1"}]) is None
    assert claimed_ms([claimed, {**claimed, "updated_at_ms": "900"}]) == 900


def test_a_worker_is_done_when_its_positions_add_up_to_the_records() -> None:
    positions = [{"next": "4", "updated_at_ms": "800"}, {"next": "6", "updated_at_ms": "700"}]
    assert folded(positions, 11) is None
    assert folded(positions, 10) == (10, 800)


def test_a_peer_is_done_when_it_says_that_it_has_written_enough(place: Namespace) -> None:
    assert (place.peer_started_ms(), place.peer_written(1)) == (None, None)
    place.store.hset(progress_key(place.keys.namespace), items=report(started_ms=500, done=99))
    assert place.peer_started_ms() == 500
    assert place.peer_written(100) is None
    written = place.peer_written(99)
    assert written is not None
    assert written.records == 99
