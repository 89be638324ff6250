"""Dead letters in flight: what waits for them; and when there are too many."""

import asyncio
from collections.abc import Sequence
from itertools import accumulate, cycle
from typing import cast

import pytest
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from contracts.topics import QUOTES
from stream_processors.partition.dead_letters import (
    WINDOW,
    BadRecords,
    DeadLetters,
    TooManyBadRecordsError,
)
from stream_processors.transport.batches import BadRecord
from stream_processors.transport.producer import Outgoing, Producer
from tests.stream_processors.simulated_store import settled
from tests.stream_processors.simulation import SimulatedProducer, World

TPS = [TP(QUOTES.name, partition) for partition in range(3)]


def bad(*offsets: int, value: bytes = b"bad") -> list[BadRecord]:
    return [BadRecord(offset, None, value, "malformed") for offset in offsets]


async def test_a_batch_continues_while_its_letters_are_in_flight_and_the_next_waits_for_them() -> (
    None
):
    world = World(sizes=cycle([1]), make={})
    letters = DeadLetters(cast("Producer", SimulatedProducer(world, 0)))

    def offsets() -> list[bytes]:
        return [letter["offset"] for letter in world.headers]

    await letters.publish(TPS[0], bad(0))
    second = asyncio.ensure_future(letters.publish(TPS[0], bad(1)))
    await settled()
    assert (second.done(), len(world.turns.waiting)) == (False, 1)
    await world.turns.until(second)
    assert offsets() == [b"0"]
    await world.turns.until(letters.settled(TPS[0]))
    assert offsets() == [b"0", b"1"]
    # Those of one partition do not wait for those of another.
    await letters.publish(TPS[0], bad(2))
    await letters.publish(TPS[1], bad(0))
    await letters.settled(TPS[2])
    await settled()
    assert len(world.turns.waiting) == 2


class Refusing:
    """A topic with a limit of the sizes of a request, and which may refuse all."""

    def __init__(self, bytes_at_most: int = 0, why: Exception | None = None) -> None:
        self.values: list[bytes | None] = []
        self._at_most = bytes_at_most
        self._why = why

    async def publish_all(self, _topic: str, _partition: int, records: Sequence[Outgoing]) -> None:
        if self._why:
            raise self._why
        values = [record.value for record in records]
        if sum(map(len, filter(None, values))) > self._at_most:
            raise MessageSizeTooLargeError
        self.values += values


async def test_a_permanent_refusal_reaches_every_caller_that_would_pass_it() -> None:
    refusing = Refusing(why=TopicAuthorizationFailedError())
    letters = DeadLetters(cast("Producer", refusing))
    await letters.publish(TPS[0], bad(0))
    for waiting in (
        letters.settled(TPS[0]),
        letters.publish(TPS[0], bad(1)),
        letters.settled(TPS[0]),
    ):
        with pytest.raises(TopicAuthorizationFailedError):
            await waiting


async def test_letters_that_are_too_large_are_split_and_a_single_one_is_emptied() -> None:
    topic = Refusing(bytes_at_most=10)
    letters = DeadLetters(cast("Producer", topic))
    await letters.publish(TPS[0], [*bad(0, 1, value=b"6 byte"), *bad(2, value=bytes(11))])
    await letters.settled(TPS[0])
    assert topic.values == [b"6 byte", b"6 byte", None]


Piece = tuple[int, list[int]]
"""Records, and the indices of bad ones."""
pieces = st.lists(
    st.integers(1, 2_500).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)).map(sorted))
    ),
    max_size=8,
)


@given(pieces, st.floats(0.001, 0.5))
def test_it_stops_at_the_first_record_where_the_share_of_the_latest_1000_is_above_the_settings(
    seen: list[Piece], share_max: float
) -> None:
    bad_records = BadRecords(share_max)
    starts = accumulate((records for records, _ in seen), initial=0)
    numbers: list[int] = []
    for start, (records, bad) in zip(starts, seen, strict=False):
        for nth, place in enumerate(bad):
            numbers.append(start + place)
            among = sum(number > start + place - WINDOW for number in numbers)
            if among > share_max * WINDOW:
                with pytest.raises(TooManyBadRecordsError, match=f"{among} of the latest") as found:
                    bad_records.add(records, bad)
                assert found.value.before == nth
                return
        bad_records.add(records, bad)
