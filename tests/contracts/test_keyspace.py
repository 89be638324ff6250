"""Keys and values in Redis: one hash slot per partition, and values that survive a round trip."""

import re
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from contracts.affinities import HistoryEntry
from contracts.bars import BarValue
from contracts.generations import (
    Canary,
    Current,
    Experiment,
    Neighbor,
    Popular,
    PopularList,
    Recommendation,
    Served,
    SimilarList,
    UserList,
)
from contracts.instruments import CatalogEntry
from contracts.keyspace import Keyspace
from contracts.log_position import LogPosition
from contracts.topics import COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES
from tests.contracts.keys import PARTITION, Key, keys
from tests.runtime.redis.guarded import rules

LIVE = Keyspace("live")
ROOT: Final = Path(__file__).parents[2]
KEYS: Final = list(keys())

partitions = st.integers(0, 9999)
user_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=32)
namespaces = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)


def program_of(name: str) -> str:
    """Return the user of docs/redis.md who is meant by a writer or a reader of a key."""
    programs = {"operations.topics": "topics", "people": "looker"}
    return programs.get(name, name if name in rules() else "worker")


def granted(sign: str) -> set[tuple[str, Key]]:
    """Return the users and keys of the documented rights that begin with a sign."""
    return {
        (user, key)
        for user, rule in rules().items()
        for pattern in re.findall(rf"(?<= ){re.escape(sign)}(\S+)", rule)
        for key in KEYS
        # Redis writes the complement of a set of characters with ^.
        if fnmatchcase(f"live:{key.example}", pattern.replace("[^", "[!"))
        and (sign == "&") == key.is_channel
    }


def test_the_documented_rights_are_those_of_each_keys_writers_and_readers() -> None:
    writers, readers, subscribers = set(), set(), set()
    for key in KEYS:
        everybody = {"topics", "worker", "trainer", "api"}
        reading = everybody if key.readers == {"all"} else set(map(program_of, key.readers))
        writing = set(map(program_of, key.writers))
        if key.is_channel:
            subscribers |= {(program, key) for program in writing | reading}
        else:
            writers |= {(program, key) for program in writing}
            readers |= {(program, key) for program in reading}
    assert granted("~") == writers
    assert granted("&") == subscribers
    # The API reads all of its namespace, and so does a person, but for the secret.
    assert readers - writers <= granted("%R~")
    unread = granted("%R~") - readers - writers
    assert {user for user, _ in unread} == {"api", "looker"}
    secret = LIVE.request_id_key()
    looked_at = {f"live:{key.example}" for user, key in granted("%R~") if user == "looker"}
    assert looked_at == {f"live:{k.example}" for k in KEYS if not k.is_channel} - {secret}


def test_a_key_with_a_hash_tag_is_written_by_workers_each_by_a_fold_that_exists() -> None:
    for key in KEYS:
        programs = set(map(program_of, key.writers))
        if key.topic_letter is None:
            assert "worker" not in programs
            continue
        assert programs == {"worker"}
        folds = key.writers - {"workers"}
        assert all((ROOT / "stream_processors" / name).is_dir() for name in folds), key


@given(namespaces, partitions, user_ids)
def test_all_keys_of_a_partition_share_a_slot_of_redis_cluster(
    namespace: str, partition: int, argument: str
) -> None:
    slots = defaultdict(set)
    for key in KEYS:
        built = key.example.replace(str(PARTITION), str(partition)).replace("ARGUMENT", argument)
        if key.topic_letter is not None:
            slots[key.topic_letter].add(key_slot(f"{namespace}:{built}".encode()))
    assert set(map(len, slots.values())) == {1}


@given(partitions, partitions, user_ids, user_ids)
def test_other_ids_have_other_keys(one: int, other: int, user: str, another: str) -> None:
    assert (LIVE.history(one, user) == LIVE.history(other, another)) == (
        (one, user) == (other, another)
    )
    assert (LIVE.bars(one, other) == LIVE.bars(other, one)) == (one == other)


def test_the_topics_partitions_are_spread_over_slots() -> None:
    positions = [
        LIVE.position(topic, partition)
        for topic in (QUOTES, INTERACTIONS, COOCCURRENCES, INSTRUMENTS)
        for partition in range(8)
    ]
    assert len({key_slot(key.encode()) for key in positions}) == len(positions)


finite = st.floats(allow_nan=False, allow_infinity=False)
int64s = st.integers(-(2**63), 2**63 - 1)
offsets = st.builds(LogPosition, int64s, int64s)
names = st.text(st.characters(codec="utf-8"), max_size=8)


def lists_of(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(strategy, max_size=3)


neighbors = st.builds(Neighbor, item=names, score=finite, support=finite)
recommendations = st.builds(Recommendation, item=names, score=finite, because=lists_of(names))
popular = st.builds(Popular, item=names, score=finite, support=finite)
served = st.builds(Served, generation=names, model=names, user_model=names)
experiments = st.builds(Experiment, name=names, weights=st.dictionaries(names, finite, max_size=3))
canaries = st.builds(Canary, served=served, share=finite, since_ms=int64s)


@given(
    st.one_of(
        st.builds(
            BarValue,
            **dict.fromkeys(("o", "h", "l", "c", "v", "pv"), finite),
            **dict.fromkeys(("n", "ot", "ct"), int64s),
            off=offsets,
        ),
        st.builds(HistoryEntry, r=finite, t=int64s),
        st.builds(
            CatalogEntry,
            st.integers(0, 2**63 - 1),
            symbol=st.just("AAPL"),
            name=st.just("Apple Inc."),
            categories=st.just(("tech",)),
            listed=st.booleans(),
            attributes=st.dictionaries(names.filter(bool), finite | int64s | names, max_size=3),
            off=offsets,
        ),
        st.builds(SimilarList, model=names, items=lists_of(neighbors)),
        st.builds(UserList, model=names, off=offsets, items=lists_of(recommendations)),
        st.builds(PopularList, model=names, items=lists_of(popular)),
        st.builds(
            Current,
            fence=int64s,
            variants=st.dictionaries(names, served, max_size=3),
            experiment=st.none() | experiments,
            canary=st.none() | canaries,
            previous=lists_of(served),
            held=st.booleans(),
        ),
    )
)
def test_values_are_json_that_is_read_as_it_was_written(value: msgspec.Struct) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


def test_the_consumer_group_belongs_to_the_namespace() -> None:
    assert LIVE.consumer_group() != Keyspace("other").consumer_group()
