"""Benchmarks' input is what workers would write, and work that was not done does not pass."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
import redis

from benchmarks.bars import check_bars
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.namespace import Namespace
from benchmarks.interactions import check_counts, make_events, sum_of_counts
from benchmarks.peers.plain_interactions import Counts
from contracts.keyspace import Keyspace
from contracts.messages import Interaction, encode
from runtime.redis.stores import connect
from runtime.topology import Topology


@pytest.fixture
def place(store_url: str, namespace: str) -> Iterator[Namespace]:
    with connect(store_url, "tests") as store:
        yield Namespace(store, Keyspace(namespace), Topology(8, 8, 8))


def test_the_sum_of_counts_is_that_of_the_gram_matrix() -> None:
    events = list(make_events(500, 20, 30))
    user_items = np.zeros((20, 30))
    for event in events:
        user_items[int(event.user_id.removeprefix("user-")), event.instrument_id] = 1
    assert sum_of_counts(events) == np.triu(user_items.T @ user_items).sum()


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
