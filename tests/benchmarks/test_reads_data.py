"""What the servers are asked about is what the programs would have written, and as much as said."""

import time
from collections.abc import Sequence
from itertools import chain

import hiredis
import msgspec
import numpy as np
import pytest

from benchmarks.harness.bulk import write
from benchmarks.reads import lists
from benchmarks.reads.data import SEED, Size, by_popularity, noted
from benchmarks.reads.histories import MOST, draw_items, draw_lengths, histories
from benchmarks.reads.minutes import Minutes
from benchmarks.reads.paths import (
    batches,
    long,
    own_lists,
    plain,
    recommendations,
)
from benchmarks.reads.situations import endpoints
from contracts.bars import BarValue
from contracts.generations import SimilarList, UserList
from contracts.histories import HistoryEntry
from contracts.keyspace import NEWEST_FIELD, OFFSET_FIELD, Keyspace
from contracts.log_position import LogPosition
from contracts.partitioning import instrument_partition
from runtime.redis.stores import connect

SIZE = Size(instruments=2_500, users=1_000)


def rng() -> np.random.Generator:
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


def test_lists_are_encoded_as_the_trainer_does_it() -> None:
    found = dict(lists.similar_lists(by_popularity(SIZE), rng()))
    assert found.keys() == set(range(SIZE.instruments))
    for item, encoded in found.items():
        similar = msgspec.json.decode(encoded, type=SimilarList)
        assert msgspec.json.encode(similar) == encoded
        names = [neighbor.item for neighbor in similar.items]
        assert len(set(names)) == len(names) == lists.NEIGHBORS
        assert str(item) not in names
        scores = [neighbor.score for neighbor in similar.items]
        assert scores == sorted(scores, reverse=True)


def test_a_users_own_list_is_of_the_current_history() -> None:
    own = msgspec.json.decode(lists.own_list(7, by_popularity(SIZE)), type=UserList)
    assert own.off == LogPosition(0, 7)
    assert len({one.item for one in own.items}) == lists.OWN_LIST
    ((_, fields),) = (
        made for made in histories(8, by_popularity(SIZE), 10**12, rng()) if made[0] == 7
    )
    assert fields[-2:] == [OFFSET_FIELD, b"[0,7]"]


def test_histories_have_the_documented_lengths() -> None:
    lengths = draw_lengths(200_000, rng())
    assert np.median(lengths) == 8
    assert lengths.mean() == pytest.approx(15, rel=0.03)
    assert (lengths.min(), lengths.max()) == (1, MOST)


def test_a_history_hardly_ever_has_an_instrument_twice() -> None:
    lengths = draw_lengths(2_000, rng())
    ranks = draw_items(lengths, 50_000, rng())
    users = np.repeat(np.arange(len(lengths)), lengths)
    different = len(set(zip(users.tolist(), ranks.tolist(), strict=True)))
    assert different > 0.99 * len(ranks)


def test_histories_hold_entries_of_the_past() -> None:
    now_ms = 10**12
    for _, fields in histories(50, by_popularity(SIZE), now_ms, rng()):
        for item, value in zip(fields[:-2:2], fields[1:-2:2], strict=True):
            entry = msgspec.json.decode(value, type=HistoryEntry)
            assert msgspec.json.encode(entry) == value
            assert entry.t <= now_ms
            assert 0 <= int(item) < SIZE.instruments


def test_each_situation_is_of_the_users_that_it_is_about() -> None:
    def users(paths: Sequence[str]) -> list[int]:
        return [int(path.partition("user-")[2].partition("/")[0]) for path in paths]

    assert (SIZE.with_own_list, SIZE.with_long_history) == (100, 100)
    others = range(100, SIZE.users - 100)
    assert set(users(recommendations(SIZE))) <= {*others}
    assert [len(batch) for batch in batches(SIZE, 300)] == [300, 300]
    assert sorted(users(list(chain(*batches(SIZE, 200))))) == [*others]
    assert [len(batch) for batch in batches(SIZE, 801)] == [800]
    assert max(users(own_lists(SIZE))) == max(users(plain(SIZE))) == 99
    assert users(long(SIZE)) == [*range(SIZE.users - 100, SIZE.users)]
    assert [len(one.paths()) for one in endpoints(SIZE)] == [100_000] * 4


def test_bars_keep_up_with_the_clock(store_url: str, namespace: str) -> None:
    keyspace = Keyspace(namespace)
    minutes = Minutes(store_url, keyspace, noted(), instruments=20, seed=SEED)
    minutes.cover(0)
    minutes.cover(120)
    last = int(time.time() + 120) // 60 * 60
    with connect(store_url, "tests") as store:
        stored = store.hgetall(keyspace.bars(instrument_partition(17, noted().quotes), 17))
    newest = int(stored.pop(NEWEST_FIELD))
    # The minute may have turned since.
    assert newest in (last, last - 60)
    assert {int(minute) for minute in stored} == set(range(newest - 7 * 60, newest + 1, 60))
    for minute, value in stored.items():
        bar = msgspec.json.decode(value, type=BarValue)
        assert bar.l <= min(bar.o, bar.c) <= max(bar.o, bar.c) <= bar.h
        assert int(minute) * 1000 == bar.ot <= bar.ct < (int(minute) + 60) * 1000


def test_many_commands_are_all_written_and_a_refused_one_is_reported(
    store_url: str, namespace: str
) -> None:
    write(store_url, (("RPUSH", f"{namespace}:list", str(number)) for number in range(2_500)))
    with connect(store_url, "tests") as store:
        assert store.lrange(f"{namespace}:list", 0, -1) == [str(number) for number in range(2_500)]
    with pytest.raises(hiredis.ReplyError, match="WRONGTYPE"):
        write(store_url, [("SET", f"{namespace}:x", "1"), ("INCR", f"{namespace}:list")])
