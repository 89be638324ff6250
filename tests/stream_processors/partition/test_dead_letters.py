"""Dead letters in flight: what waits for them, and what does not."""

import asyncio
from collections.abc import Sequence
from itertools import cycle
from typing import cast

import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from faust.types import TP

from contracts.topics import QUOTES
from stream_processors.partition.dead_letters import DeadLetters
from stream_processors.transport.batches import BadRecord
from stream_processors.transport.producer import Outgoing, Producer
from tests.stream_processors.simulated_store import settled
from tests.stream_processors.simulation import SimulatedProducer, World


def tp(partition: int = 0) -> TP:
    return TP(QUOTES.name, partition)


def bad(offset: int) -> list[BadRecord]:
    return [BadRecord(offset, None, b"bad", "malformed")]


def letters_to(world: World) -> DeadLetters:
    return DeadLetters(cast("Producer", SimulatedProducer(world, 0)))


def offsets(world: World) -> list[bytes]:
    return [letter["offset"] for letter in world.headers]


async def test_a_batch_continues_while_its_letters_are_in_flight_and_the_next_waits_for_them() -> (
    None
):
    world = World(sizes=cycle([1]), make={})
    letters = letters_to(world)
    await letters.publish(tp(), bad(0))
    second = asyncio.ensure_future(letters.publish(tp(), bad(1)))
    await settled()
    assert (second.done(), len(world.turns.waiting)) == (False, 1)
    await world.turns.until(second)
    assert offsets(world) == [b"0"]
    await world.turns.until(letters.settled(TP(QUOTES.name, 0)))
    assert offsets(world) == [b"0", b"1"]


async def test_the_letters_of_one_partition_do_not_wait_for_those_of_another() -> None:
    world = World(sizes=cycle([1]), make={})
    letters = letters_to(world)
    await letters.publish(tp(0), bad(0))
    await letters.publish(tp(1), bad(0))
    await letters.settled(TP(QUOTES.name, 2))
    await settled()
    assert len(world.turns.waiting) == 2


class Refusing:
    async def publish_all(self, _topic: str, _partition: int, _records: Sequence[Outgoing]) -> None:
        raise TopicAuthorizationFailedError


async def test_a_permanent_refusal_reaches_every_caller_that_would_pass_it() -> None:
    letters = DeadLetters(cast("Producer", Refusing()))
    await letters.publish(tp(), bad(0))
    for waiting in (
        letters.settled(TP(QUOTES.name, 0)),
        letters.publish(tp(), bad(1)),
        letters.settled(TP(QUOTES.name, 0)),
    ):
        with pytest.raises(TopicAuthorizationFailedError):
            await waiting
