"""What the servers are asked about is what the programs would have written, and as much as said."""

import hiredis
import msgspec
import numpy as np
import pytest

from benchmarks.harness.bulk import write
from benchmarks.reads import lists
from benchmarks.reads.data import SEED, Size, by_popularity
from benchmarks.reads.histories import MOST, draw_lengths, histories
from contracts.generations import SimilarList, UserList
from contracts.keyspace import OFFSET_FIELD
from contracts.log_position import LogPosition
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


def test_many_commands_are_all_written_and_a_refused_one_is_reported(
    store_url: str, namespace: str
) -> None:
    write(store_url, (("RPUSH", f"{namespace}:list", str(number)) for number in range(2_500)))
    with connect(store_url, "tests") as store:
        assert store.lrange(f"{namespace}:list", 0, -1) == [str(number) for number in range(2_500)]
    with pytest.raises(hiredis.ReplyError, match="WRONGTYPE"):
        write(store_url, [("SET", f"{namespace}:x", "1"), ("INCR", f"{namespace}:list")])
