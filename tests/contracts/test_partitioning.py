"""murmur2 as Kafka's clients compute it: a reader that differs looks under the wrong Redis key."""

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from confluent_kafka import KafkaError, Message, Producer
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import MAX_INSTRUMENT_ID
from contracts.partitioning import (
    LIBRDKAFKA_PARTITIONER,
    are_in_row,
    instrument_partition,
    instrument_partitions,
    murmur2,
    partition_of,
    row_of,
    user_partition,
)
from runtime.topology import Topology

SEED = 5
items = st.integers(0, 9) | st.integers(0, MAX_INSTRUMENT_ID)


@pytest.mark.parametrize(
    ("data", "signed"),
    [
        # From Kafka's own UtilsTest.testMurmur2.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_it_is_the_hash_that_kafkas_java_client_tests_itself_with(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


@given(st.binary(max_size=140))
def test_it_is_aiokafkas_hash(data: bytes) -> None:
    assert murmur2(data) == aiokafka_murmur2(data) % 2**32


@given(st.binary(max_size=140), st.integers(1, 10_000))
def test_a_partition_is_one_of_those_that_there_are(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


@given(st.integers(0, 2**63 - 1), st.text(min_size=1, max_size=30), st.integers(1, 100))
def test_ids_are_partitioned_by_the_bytes_of_their_keys(
    instrument_id: int, user_id: str, partitions: int
) -> None:
    assert instrument_partition(instrument_id, partitions) == partition_of(
        str(instrument_id).encode(), partitions
    )
    assert user_partition(user_id, partitions) == partition_of(user_id.encode(), partitions)


@given(st.lists(st.integers(0, 10**18) | st.integers(0, 2**63 - 1)), st.integers(1, 10_000))
def test_many_instruments_belong_where_each_of_them_does(ids: list[int], partitions: int) -> None:
    every_length = [10**digits for digits in range(19)]
    instruments = every_length + ids
    found = instrument_partitions(np.array(instruments, np.int64), partitions)
    assert found.tolist() == [instrument_partition(one, partitions) for one in instruments]


def test_no_instruments_belong_nowhere() -> None:
    assert instrument_partitions(np.empty(0, np.int64), 8).tolist() == []


def test_librdkafka_puts_each_key_where_we_say(
    broker: str, topics: Callable[..., Topology]
) -> None:
    partitions = topics(quotes=7).quotes
    chance = random.Random(SEED)
    keys = [b"%d" % chance.randrange(2**63) for _ in range(300)]
    keys += [chance.randbytes(chance.randrange(1, 129)) for _ in range(300)]
    keys += [b"%d" % number for number in range(300)]
    seen: dict[bytes, int] = {}

    def note(error: KafkaError | None, record: Message) -> None:
        assert error is None
        seen[record.key()] = record.partition()

    producer = Producer({"bootstrap.servers": broker, "partitioner": LIBRDKAFKA_PARTITIONER})
    for key in keys:
        producer.produce("quotes", b"", key, on_delivery=note)
    assert producer.flush(20) == 0
    assert seen == {key: partition_of(key, partitions) for key in keys}, f"seed {SEED}"


@given(st.lists(st.tuples(items, items)))
def test_each_pair_is_in_one_of_its_two_rows_whichever_comes_first(
    pairs: list[tuple[int, int]],
) -> None:
    i, j = np.array(pairs, np.int64).reshape(-1, 2).T
    is_of_i, is_of_j = are_in_row(i, j).tolist(), are_in_row(j, i).tolist()
    for (one, other), of_one, of_other in zip(pairs, is_of_i, is_of_j, strict=True):
        row = row_of(one, other)
        assert row == row_of(other, one)
        assert row in (one, other)
        assert (of_one, of_other) == (row == one, row == other)


def test_a_pair_of_an_even_sum_is_in_the_lesser_items_row_and_others_in_the_greater_ones() -> None:
    assert [row_of(4, j) for j in range(9)] == [0, 4, 2, 4, 4, 5, 4, 7, 4]


def test_rows_of_items_without_gaps_are_equally_long() -> None:
    lengths = Counter(row_of(i, j) for i in range(101) for j in range(i + 1))
    assert set(lengths.values()) == {51}
