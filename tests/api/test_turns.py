"""Rounds of many commands take turns, and small reads do not wait for all of them."""

import asyncio

import pytest

from api.redis.nodes import COMMANDS_AT_ONCE, Turns
from api.redis.reading import Read
from api.redis.store import Store, StoreUnavailableError
from tests.patience import PATIENCE_S

from .conftest import read_deadline

MANY = 100


class Noting:
    """Notes when it has its turn."""

    def __init__(self, name: str, noted: list[str]) -> None:
        self._name, self._noted = name, noted
        self.over = False

    def take_turn(self) -> None:
        self._noted.append(self._name)


async def check_that_nobody_has_one(turns: Turns) -> None:
    """Check that there is room for all commands that may be under way, and for no more."""
    noted = list[str]()
    turns.enter(Noting("all", noted), COMMANDS_AT_ONCE)
    turns.enter(Noting("one more", noted), 1)
    assert noted == ["all"]
    turns.leave(COMMANDS_AT_ONCE)
    await asyncio.sleep(0)
    assert noted == ["all", "one more"]
    turns.leave(1)


async def test_as_many_as_may_have_a_turn_at_once_and_the_next_when_one_leaves() -> None:
    turns, noted = Turns(), list[str]()
    each = [Noting(name, noted) for name in "abcd"]
    half = COMMANDS_AT_ONCE // 2
    for one in each:
        turns.enter(one, half)
    assert noted == ["a", "b"]
    each[2].over = True
    turns.leave(half)
    assert noted == ["a", "b"]
    await asyncio.sleep(0)
    assert noted == ["a", "b", "d"]
    turns.leave(half)
    turns.leave(half)
    turns.enter(Noting("larger than all that may be at once", noted), 2 * COMMANDS_AT_ONCE)
    turns.enter(Noting("late", noted), 1)
    assert noted[3:] == ["larger than all that may be at once"]
    turns.leave(2 * COMMANDS_AT_ONCE)
    await asyncio.sleep(0)
    assert noted[-1] == "late"


async def test_who_reads_little_does_not_wait_for_all_who_read_much(store: Store) -> None:
    ended: list[str] = []

    def reading(name: str, keys: int) -> Read[None]:
        yield [("GET", f"{store.keys.namespace}:{key}") for key in range(keys)]
        ended.append(name)

    large = [store.answer(reading("large", MANY)) for _ in range(20)]
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*large, store.answer(reading("small", 1)))
    assert ended.count("large") == 20
    assert ended.index("small") < 20


def much(store: Store) -> Read[int]:
    found = yield [("EXISTS", store.keys.topics())] * MANY
    yield [("EXISTS", store.keys.topics())]  # a little more, without a turn
    return len(found)


def blocking(store: Store) -> Read[None]:
    """A read that is never answered."""
    yield [("BLPOP", f"{store.keys.namespace}:nothing", 0)] * MANY


async def test_a_read_whose_time_is_over_while_it_waits_has_no_turn(store: Store) -> None:
    turns = store._nodes.turns
    turns.enter(Noting("all", []), COMMANDS_AT_ONCE)
    with read_deadline(0.05), pytest.raises(StoreUnavailableError):
        await store.answer(much(store))
    turns.leave(COMMANDS_AT_ONCE)
    await asyncio.sleep(0)
    await check_that_nobody_has_one(turns)


async def test_reads_whose_time_is_over_end_their_turns_once(store: Store) -> None:
    """Their connection says nothing either, so it is given up, and they learn that as well."""
    many = [store.answer(blocking(store)) for _ in range(2 * COMMANDS_AT_ONCE // MANY)]
    with read_deadline(0.05):
        ended = await asyncio.gather(*many, return_exceptions=True)
    assert {type(error) for error in ended} == {StoreUnavailableError}
    await until_answered(store)
    await check_that_nobody_has_one(store._nodes.turns)


async def test_reads_whose_connection_is_lost_end_their_turns_once_and_those_that_wait_fail(
    store: Store,
) -> None:
    many = [
        asyncio.ensure_future(store.answer(blocking(store)))
        for _ in range(2 * COMMANDS_AT_ONCE // MANY)
    ]
    await asyncio.sleep(0)
    (connection,) = store._nodes.connections()
    assert connection.waiting == COMMANDS_AT_ONCE // MANY * MANY
    connection.close()
    async with asyncio.timeout(PATIENCE_S):
        ended = await asyncio.gather(*many, return_exceptions=True)
    assert {type(error) for error in ended} == {StoreUnavailableError}
    await until_answered(store)
    await check_that_nobody_has_one(store._nodes.turns)


async def until_answered(store: Store) -> None:
    """Return once the store is connected again, and answers a read of much."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                assert await store.answer(much(store)) == MANY
            except StoreUnavailableError:
                await asyncio.sleep(0.01)
            else:
                return
