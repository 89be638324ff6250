"""Kafka's murmur2, rows and positions: a reader that differs looks under the wrong Redis key."""

import random
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from confluent_kafka import KafkaError, Message, Producer
from hypothesis import given
from hypothesis import strategies as st

from contracts.log_position import (
    MAX_INCARNATION,
    MAX_OFFSET,
    LogPosition,
    mark_of,
    next_position,
    parse_log_position,
    positions_of,
    text_of,
)
from contracts.messages import MAX_INSTRUMENT_ID
from contracts.partitioning import (
    LIBRDKAFKA_PARTITIONER,
    are_in_row,
    instrument_partition,
    instrument_partitions,
    murmur2,
    partition_of,
    row_of,
)
from runtime.topology import Topology

SEED = 5
items = st.integers(0, 9) | st.integers(0, MAX_INSTRUMENT_ID)


@given(st.binary(max_size=140))
def test_it_is_aiokafkas_hash(data: bytes) -> None:
    assert murmur2(data) == aiokafka_murmur2(data) % 2**32


@given(st.lists(st.integers(0, 10**18) | st.integers(0, 2**63 - 1)), st.integers(1, 10_000))
def test_many_instruments_belong_where_each_of_them_does(ids: list[int], partitions: int) -> None:
    every_length = [10**digits for digits in range(19)]
    instruments = every_length + ids
    found = instrument_partitions(np.array(instruments, np.int64), partitions)
    assert found.tolist() == [instrument_partition(one, partitions) for one in instruments]


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


positions = st.builds(LogPosition, st.integers(0, MAX_INCARNATION), st.integers(0, MAX_OFFSET))


@given(one=positions, other=positions)
def test_positions_and_marks_are_ordered_by_incarnation_and_then_by_offset(
    one: LogPosition, other: LogPosition
) -> None:
    is_before = (one.incarnation, one.offset) < (other.incarnation, other.offset)
    assert (one < other) == (one.mark < other.mark) == is_before


@given(position=positions)
def test_a_mark_and_two_numbers_in_brackets_have_the_whole_position(position: LogPosition) -> None:
    assert LogPosition.of(position.mark) == position
    assert list(positions_of(np.array([position.mark]))) == [position]
    text = f"[{position.incarnation},{position.offset}]"
    assert str(position) == text_of(position.mark) == text
    assert parse_log_position(text) == parse_log_position(text.encode()) == position
    assert mark_of(text) == position.mark


@pytest.mark.parametrize("text", ["", "7", "0:7", "[7]", "[0,7,1]", "[0,7.5]", "[0,7]]"])
def test_another_text_is_no_position(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        parse_log_position(text)


def test_a_partition_continues_nowhere_before_it_was_folded() -> None:
    assert next_position(b"2", b"7") == LogPosition(2, 7)
    assert next_position("0", None) is None
