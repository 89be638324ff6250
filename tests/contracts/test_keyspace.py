"""Keys and values in Redis: one hash slot per partition, and values that survive a round trip."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

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
from contracts.affinities import HistoryEntry
from contracts.instruments import CatalogEntry
from contracts.keyspace import Keyspace, source_field, source_lineage_field
from contracts.log_position import LogPosition
from contracts.topics import COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES
from contracts.trending import PAGES

LIVE = Keyspace("live")

partitions = st.integers(0, 9999)
ids = st.integers(0, 2**63 - 1)
user_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=32)
namespaces = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (LIVE.bars(3, 4), "live:bars:{q3}:4"),
        (LIVE.bars_changed(3), "live:bars-changed:{q3}"),
        (LIVE.open_bars(3), "live:open:{q3}"),
        (LIVE.history(1, "ABC"), "live:history:{i1}:ABC"),
        (LIVE.active(1), "live:active:{i1}"),
        (LIVE.erased(1), "live:erased:{i1}"),
        (LIVE.trending(1, 600, 1200, 4), "live:trending:{i1}:600:1200:4"),
        (LIVE.cooc(0, 4), "live:cooc:{c0}:4"),
        (LIVE.items(0), "live:items:{c0}"),
        (LIVE.catalog(5), "live:catalog:{n5}"),
        (LIVE.position(INSTRUMENTS, 5), "live:position:{n5}"),
        (LIVE.position(QUOTES, 3), "live:position:{q3}"),
        (LIVE.position(INTERACTIONS, 3), "live:position:{i3}"),
        (LIVE.position(COOCCURRENCES, 3), "live:position:{c3}"),
        (LIVE.model_current(), "live:model:current"),
        (LIVE.model_similar("g1", "4"), "live:model:g1:similar:4"),
        (LIVE.model_user("g1", "ABC"), "live:model:g1:user:ABC"),
        (LIVE.model_popular("g1"), "live:model:g1:popular"),
        (LIVE.model_report("g1"), "live:model:g1:report"),
        (LIVE.model_keys("g1"), "live:model:g1:keys"),
        (LIVE.model_generations(), "live:model:generations"),
        (LIVE.model_decisions(), "live:model:decisions"),
        (LIVE.model_refused(), "live:model:refused"),
        (LIVE.model_lock(), "live:model:lock"),
        (LIVE.model_fence(), "live:model:fence"),
        (LIVE.topics(), "live:meta:topics"),
        (LIVE.request_id_key(), "live:meta:request-id-key"),
        (LIVE.idempotency("5df6"), "live:idempotency:5df6"),
        (source_field(2), "source:2"),
        (source_lineage_field(2), "source-lineage:2"),
    ],
)
def test_keys_are_built_as_the_design_lists_them(key: str, expected: str) -> None:
    assert key == expected


@given(namespaces, partitions, ids, ids, user_ids, user_ids)
def test_all_keys_of_a_partition_share_a_slot_of_redis_cluster(
    namespace: str, partition: int, one: int, other: int, user: str, another: str
) -> None:
    keys = Keyspace(namespace)
    for group in (
        [
            keys.position(QUOTES, partition),
            keys.bars(partition, one),
            keys.bars(partition, other),
            keys.bars_changed(partition),
        ],
        [
            keys.position(INTERACTIONS, partition),
            keys.active(partition),
            keys.history(partition, user),
            keys.history(partition, another),
            keys.trending(partition, 600, 1200, 0),
            keys.trending(partition, 3600, 0, PAGES - 1),
        ],
        [
            keys.position(COOCCURRENCES, partition),
            keys.items(partition),
            keys.cooc(partition, one),
            keys.cooc(partition, other),
        ],
        [keys.position(INSTRUMENTS, partition), keys.catalog(partition)],
    ):
        assert len({key_slot(key.encode()) for key in group}) == 1


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
