"""Pipelining connections, their loss, and the turns of rounds of many commands."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import tenacity
from redis import Redis
from redis.exceptions import RedisError

import api.redis.store
from api.http.metrics import Metrics
from api.redis.connection import MAX_WAITING, Connection, ErrorAnswer, NotConnectedError, packed
from api.redis.nodes import COMMANDS_AT_ONCE, Turns
from api.redis.reading import Read
from api.redis.store import READ_DEADLINE_S as DEADLINE_S
from api.redis.store import Store, StoreUnavailableError
from infra.local.process import free_port, running
from infra.local.store import valkey
from tests.patience import PATIENCE_S

from .conftest import Filled, read_deadline


def get(key: str) -> Read[bytes | None]:
    (value,) = yield [("GET", key)]
    found: bytes | None = value
    return found


def get_in_turn(*keys: str) -> Read[list[bytes | None]]:
    """Read keys one after the other, the next one only when the one before is there."""
    values: list[bytes | None] = []
    for key in keys:
        values += yield [("GET", key)]
    return values


async def test_everybody_gets_the_answer_to_what_was_asked(
    store: Store, filled: Filled, namespace: str
) -> None:
    keys = [f"{namespace}:{number}" for number in range(300)]
    filled.store.mset({key: key for key in keys})
    reads = [get_in_turn(*keys[start:], *keys[:start]) for start in range(0, 300, 17)]
    found = await asyncio.gather(*map(store.answer, reads))
    for start, values in zip(range(0, 300, 17), found, strict=True):
        assert [value.decode() for value in values if value] == keys[start:] + keys[:start]


async def test_what_several_ask_for_in_one_turn_is_asked_for_once(
    store: Store, filled: Filled, namespace: str
) -> None:
    filled.store.set(f"{namespace}:it", "value")

    def calls() -> int:
        return int(filled.store.info("commandstats")["cmdstat_get"]["calls"])

    before = calls()
    assert await store.answer(get(f"{namespace}:it")) == b"value"
    assert calls() == before + 1
    asked = [store.answer(get(f"{namespace}:it")) for _ in range(40)]
    assert set(await asyncio.gather(*asked)) == {b"value"}
    assert calls() == before + 2
    filled.store.set(f"{namespace}:it", "another")
    assert await store.answer(get(f"{namespace}:it")) == b"another"


async def test_an_answer_that_nobody_waits_for_any_more_is_nobody_elses(
    store: Store, filled: Filled, namespace: str
) -> None:
    keys = [f"{namespace}:{number}" for number in range(100)]
    filled.store.mset({key: key for key in keys})
    given_up = [asyncio.ensure_future(store.answer(get(key))) for key in keys[:50]]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    found = await asyncio.gather(*[store.answer(get(key)) for key in keys[50:]])
    assert [value.decode() for value in found if value] == keys[50:]


async def test_a_read_may_go_on_after_a_refusal_once_the_whole_round_is_answered(
    store: Store, filled: Filled, namespace: str
) -> None:
    filled.store.mset({f"{namespace}:{number}": str(number) for number in range(3)})

    def stubborn() -> Read[list[bytes]]:
        text, hash_ = ("GET", f"{namespace}:1"), ("HGETALL", f"{namespace}:1")
        with pytest.raises(ErrorAnswer, match="WRONGTYPE"):
            yield [hash_, text, text, hash_, text]
        found: list[bytes] = yield [("GET", f"{namespace}:{number}") for number in range(3)]
        return found

    reads = [store.answer(stubborn()) for _ in range(3)]
    assert await asyncio.gather(*reads) == [[b"0", b"1", b"2"]] * 3

    def wrong() -> Read[None]:
        yield [("HGETALL", f"{namespace}:1")]

    with pytest.raises(ErrorAnswer, match="WRONGTYPE"):  # our error, and not one of Redis'
        await store.answer(wrong())


async def test_a_connection_that_redis_closes_is_reopened(
    store: Store, filled: Filled, namespace: str
) -> None:
    filled.store.set(f"{namespace}:it", "value")
    assert await store.answer(get(f"{namespace}:it")) == b"value"
    for _ in range(3):
        mine = [client["id"] for client in filled.store.client_list() if client["name"] == "api"]
        filled.store.client_kill_filter(_id=mine[-1])
        assert await got(store, f"{namespace}:it") == b"value"


async def test_a_read_of_many_rounds_ends_at_its_deadline_though_each_has_its_answer(
    store: Store, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.redis.store, "READ_DEADLINE_S", DEADLINE_S)
    rounds = 0

    def endless() -> Read[None]:
        nonlocal rounds
        while True:
            yield [("GET", f"{namespace}:nothing")]
            rounds += 1

    ends: list[tuple[object, Exception | None]] = []
    over = asyncio.Event()

    def done(*end: object) -> None:
        ends.append(end)  # type: ignore[arg-type]
        over.set()

    store.start(endless(), done)
    async with asyncio.timeout(PATIENCE_S):
        await over.wait()
    monkeypatch.setattr(api.redis.store, "READ_DEADLINE_S", PATIENCE_S)
    assert await got(store, f"{namespace}:nothing") is None  # behind the last answer
    assert rounds
    ((result, error),) = ends
    assert result is None
    assert isinstance(error, StoreUnavailableError)
    assert str(error) == f"no answer in {DEADLINE_S:g} s"


async def test_that_a_store_may_evict_is_logged_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):  # each time that it connects
        store._nodes._check_kept({"maxmemory_policy": "allkeys-lru"})
    assert caplog.text.count("allkeys-lru") == 1


async def test_a_command_too_many_is_refused(store_url: str) -> None:
    connection = await opened(store_url, lambda _: None)
    asked = [asyncio.ensure_future(connection.ask("PING")) for _ in range(MAX_WAITING + 1)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert outcomes[:-1] == [b"PONG"] * MAX_WAITING
    assert f"{MAX_WAITING} commands wait" in str(outcomes[-1])
    connection.close()


async def test_a_connection_that_is_lost_fails_all_who_wait(store_url: str) -> None:
    lost: list[Connection] = []
    connection = await opened(store_url, lost.append)
    asked = [asyncio.ensure_future(connection.ask("BLPOP", "nothing", 5)) for _ in range(3)]
    await asyncio.sleep(0)
    connection.close()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(outcome, NotConnectedError) for outcome in outcomes)
    assert lost == [connection]
    with pytest.raises(NotConnectedError):
        connection.send(packed(("PING",)), None, 0)  # type: ignore[arg-type]


async def test_what_is_no_redis_is_hung_up_on() -> None:
    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with await asyncio.start_server(nonsense, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = Store(f"redis://127.0.0.1:{port}", "live", Metrics().store_errors)
        async with store.connecting():
            with pytest.raises(StoreUnavailableError, match="not connected"):
                await store.answer(get("live:it"))


@pytest.mark.parametrize("user", ["", "reader"])
async def test_who_has_to_say_a_password_does(tmp_path: Path, user: str) -> None:
    port = free_port()
    with Redis(port=port, password="s3cret/+", db=3) as client:
        server = valkey(port, tmp_path)
        argv = (*server.command.argv, "--requirepass", "s3cret/+")
        command = dataclasses.replace(server.command, argv=argv)
        with running(dataclasses.replace(server, command=command, answers=lambda: pings(client))):
            client.set("live:it", "value")
            client.execute_command("ACL", "SETUSER", "reader", "on", ">s3cret/+", "~*", "+@all")
            url = f"redis://{user}:s3cret%2F%2B@127.0.0.1:{port}/3"
            store = Store(url, "live", Metrics().store_errors)
            async with store.connecting():
                assert await got(store, "live:it") == b"value"
            wrong = Store(f"redis://:wrong@127.0.0.1:{port}", "live", Metrics().store_errors)
            async with wrong.connecting():
                with pytest.raises(StoreUnavailableError):
                    await wrong.answer(get("live:it"))


def test_an_address_that_can_be_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="write one of redis://"):
        Store("http://127.0.0.1", "live", Metrics().store_errors)


def pings(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


RETRYING: Final = tenacity.retry(
    retry=tenacity.retry_if_exception_type(StoreUnavailableError),
    stop=tenacity.stop_after_delay(PATIENCE_S),
    wait=tenacity.wait_fixed(0.02),
)


@RETRYING
async def got(store: Store, key: str) -> bytes | None:
    return await store.answer(get(key))


async def opened(store_url: str, lost: Callable[[Connection], object]) -> Connection:
    """Return a connection that calls `lost` when it ends."""
    host, port = store_url.split("/")[2].split(":")
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(lost), host, int(port))
    return connection


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


@pytest.mark.parametrize("is_lost", [False, True])
async def test_reads_whose_time_is_over_or_whose_connection_is_lost_end_their_turns_once(
    store: Store, *, is_lost: bool
) -> None:
    """A connection that says nothing is given up too; reads that wait for a turn fail as well."""
    with read_deadline(PATIENCE_S if is_lost else 0.05):
        asked = [store.answer(blocking(store)) for _ in range(2 * COMMANDS_AT_ONCE // MANY)]
        many = asyncio.gather(*asked, return_exceptions=True)
        await asyncio.sleep(0)
        (connection,) = store._nodes.connections()
        assert connection.waiting == COMMANDS_AT_ONCE // MANY * MANY
        if is_lost:
            connection.close()
        async with asyncio.timeout(PATIENCE_S):
            ended = await many
    assert {type(error) for error in ended} == {StoreUnavailableError}
    await until_answered(store)
    await check_that_nobody_has_one(store._nodes.turns)


@RETRYING
async def until_answered(store: Store) -> None:
    """Return once the store is connected again, and answers a read of much."""
    assert await store.answer(much(store)) == MANY
