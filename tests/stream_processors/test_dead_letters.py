"""Dead letters on their way: what waits for them, and what need not."""

import asyncio
from collections.abc import Sequence
from itertools import cycle
from typing import cast

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from contracts.messages import Rejection
from contracts.topics import QUOTES
from stream_processors.dead_letters import DeadLetters
from stream_processors.publisher import Outgoing, Publisher

from .records import batch_of
from .simulated_store import settled
from .simulation import SimulatedPublisher, World

BAD = [Rejection(0, "malformed")]


def batch(offset: int, partition: int = 0):
    return batch_of(QUOTES.name, partition, [(offset, b"bad")])


def letters_to(world: World) -> DeadLetters:
    return DeadLetters(cast("Publisher", SimulatedPublisher(world, 0)))


def offsets(world: World) -> list[bytes]:
    return [letter["offset"] for letter in world.headers]


async def test_a_batch_goes_on_while_its_letters_are_on_their_way_and_the_next_waits_for_them() -> (
    None
):
    world = World(sizes=cycle([1]), make={})
    letters = letters_to(world)
    await letters.publish(batch(0), BAD)
    second = asyncio.ensure_future(letters.publish(batch(1), BAD))
    await settled()
    assert (second.done(), len(world.turns.waiting)) == (False, 1)
    await world.turns.until(second)
    assert offsets(world) == [b"0"]
    await world.turns.until(letters.settled(QUOTES, 0))
    assert offsets(world) == [b"0", b"1"]


async def test_the_letters_of_one_partition_do_not_wait_for_those_of_another() -> None:
    world = World(sizes=cycle([1]), make={})
    letters = letters_to(world)
    await letters.publish(batch(0, partition=0), BAD)
    await letters.publish(batch(0, partition=1), BAD)
    await letters.settled(QUOTES, 2)
    await settled()
    assert len(world.turns.waiting) == 2


async def test_a_flush_that_is_given_up_takes_no_letter_from_the_fold_that_waits_for_it() -> None:
    world = World(sizes=cycle([1]), make={})
    letters = letters_to(world)
    await letters.publish(batch(0), BAD)
    flush, fold = (asyncio.ensure_future(letters.settled(QUOTES, 0)) for _ in range(2))
    await settled()
    flush.cancel()
    await world.turns.until(fold)
    assert offsets(world) == [b"0"]


class Refusing:
    async def publish_all(self, _topic: str, _partition: int, _records: Sequence[Outgoing]) -> None:
        raise TopicAuthorizationFailedError


async def test_what_the_broker_refuses_for_good_reaches_everyone_who_would_pass_it() -> None:
    letters = DeadLetters(cast("Publisher", Refusing()))
    await letters.publish(batch(0), BAD)
    for waiting in (
        letters.settled(QUOTES, 0),
        letters.publish(batch(1), BAD),
        letters.settled(QUOTES, 0),
    ):
        with pytest.raises(TopicAuthorizationFailedError):
            await waiting
