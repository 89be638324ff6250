"""Live bars as clients see them, from a worker's write to the event."""

import asyncio
import contextlib
import itertools
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import api.live.hub
import api.live.listener
import api.live.stream
from tests.patience import PATIENCE_S, until_true

from .conftest import RUNNING_S, TOPOLOGY, Filled
from .keys import entry, write_keys
from .problems import problem
from .streaming import Served, Worker, served, value

BEFORE_S = RUNNING_S - 60
SEED = 1


@pytest.fixture
async def api_(where: dict[str, Any]) -> AsyncIterator[Served]:
    async with served(**where) as application:
        yield application


async def test_the_newest_bars_come_first_then_those_that_change(
    api_: Served, workers: Worker
) -> None:
    await workers.write(
        [(4, BEFORE_S, value(1)), (4, RUNNING_S, value(2)), (5, BEFORE_S, value(3))]
    )
    async with api_.stream(4, 5, 6) as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.answer.headers["cache-control"] == "no-store"
        assert await stream.next() == ("", "retry: 2000")
        assert await stream.bars_until_live() == {4: 2, 5: 3}
        await workers.write([(6, RUNNING_S, value(7)), (9, RUNNING_S, value(8))])
        await workers.write([(4, RUNNING_S, value(9))])
        received = [await stream.next() for _ in range(2)]
        assert [(event, bar["instrument_id"], bar["n"]) for event, bar in received] == [
            ("bar", 6, 7),
            ("bar", 4, 9),
        ]


async def test_a_stream_names_unknown_symbols_and_sends_the_bars_of_the_others(
    api_: Served, workers: Worker
) -> None:
    await workers.write([(4, RUNNING_S, value(2))])
    async with api_.stream(4, "XYZ", "A/B") as stream:
        assert await stream.next() == ("", "retry: 2000")
        assert await stream.next() == ("unknown", {"unknown": ["XYZ", "A/B"]})
        assert await stream.bars_until_live() == {4: 2}


async def test_an_event_is_the_bar_that_v1_answers(api_: Served, workers: Worker) -> None:
    await workers.write([(4, BEFORE_S, value(1)), (4, RUNNING_S, value(2))])
    answered = (await api_.client.get("/v1/instruments/4/bars")).json()["bars"]
    async with api_.stream(4) as stream:
        ((_, newest),) = (await stream.until("live"))[1:]
        assert newest == {"instrument_id": 4, **answered[1]}
        await workers.write([(4, BEFORE_S, value(3))])
        _, revised = await stream.next()
        assert (revised["t"], revised["n"], revised["closed"]) == (BEFORE_S * 1000, 3, True)


async def test_a_client_that_connects_while_bars_change_gets_each_state_once_and_in_order(
    api_: Served, workers: Worker
) -> None:
    last, rng = 100, random.Random(SEED)
    print(f"seed {SEED}")
    instruments = range(20)

    async def write() -> None:
        for n in range(1, last + 1):
            await workers.write((i, RUNNING_S, value(n)) for i in instruments)

    async def listen() -> None:
        await asyncio.sleep(rng.uniform(0, 0.5))  # comes at any moment
        asked = rng.sample(instruments, 5)
        seen: dict[int, list[int]] = {i: [] for i in asked}
        async with api_.stream(*asked) as stream:
            while any(not received or received[-1] < last for received in seen.values()):
                event, bar = await stream.next()
                if event == "bar":
                    seen[bar["instrument_id"]].append(bar["n"])
        for received in seen.values():
            assert received == sorted(set(received))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        for _ in range(30):
            tasks.create_task(listen())


async def test_a_server_subscribes_once_however_many_listen_and_not_for_long_after_the_last(
    api_: Served, workers: Worker, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.hub, "LINGER_S", 0.05)
    tasks = len(asyncio.all_tasks())
    channels = [filled.keys.bars_changed(p) for p in range(TOPOLOGY.quotes)]
    all_are_there = asyncio.Barrier(100)

    def subscribers() -> list[int]:
        answer = filled.store.execute_command("PUBSUB SHARDNUMSUB", *channels)
        return [count for _, count in answer]

    async def vanish() -> None:
        async with api_.stream(*range(50)) as stream:
            await stream.until("live")
            await all_are_there.wait()
            assert subscribers() == [1, 1, 1]

    await asyncio.gather(*(vanish() for _ in range(100)))

    @until_true
    async def nothing_is_left() -> None:
        assert await api_.metric("api_stream_clients") == 0
        assert subscribers() == [0, 0, 0]
        assert len(asyncio.all_tasks()) <= tasks

    await nothing_is_left()
    async with api_.stream(4) as again:
        await again.until("live")
        await workers.write([(4, RUNNING_S, value(1))])
        assert (await again.next())[0] == "bar"


async def test_a_client_that_takes_nothing_is_dropped(
    api_: Served, workers: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.stream, "STALLED_AFTER_S", 0.2)
    monkeypatch.setattr(api.live.stream, "PACE_S", 0)
    url = api_.client.base_url
    connection = socket.create_connection((url.host, url.port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader, writer = await asyncio.open_connection(sock=connection, limit=1)
    asked = ",".join(map(str, range(500)))
    target = f"/v1/stream/bars?instruments={asked}"
    writer.write(f"GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    await reader.readexactly(1)
    try:
        async with asyncio.timeout(PATIENCE_S):
            for n in itertools.count(1):  # until the buffers between server and client are full
                await workers.write((i, RUNNING_S, value(n)) for i in range(500))
                if await api_.metric("api_stream_dropped_total"):
                    break
        assert await api_.metric("api_stream_clients") == 0
    finally:
        writer.transport.abort()


async def test_a_comment_comes_when_there_is_nothing_to_say(
    api_: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.listener, "HEARTBEAT_S", 0.02)
    async with api_.stream(4) as stream:
        await stream.until("live")
        assert [await stream.next() for _ in range(2)] == [("", ":")] * 2


async def test_a_server_that_stops_ends_all_streams_at_once_and_begins_no_more(
    api_: Served,
) -> None:
    async with api_.stream(4) as one, api_.stream(5) as other:
        for stream in (one, other):
            await stream.until("live")
        api_.live.close()
        assert [await stream.next() for stream in (one, other)] == [("end", None)] * 2
    await check_problem(api_, "4", 503, "not-ready")


async def test_more_clients_than_a_process_may_have_are_turned_away(
    api_: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.hub, "MAX_CLIENTS", 1)
    async with api_.stream(4) as stream:
        await stream.until("live")
        await check_problem(api_, "4", 503, "overloaded")
    async with api_.stream(4):
        pass  # there is room again


async def test_a_client_may_open_so_many_streams_and_others_as_many(
    where: dict[str, Any],
) -> None:
    async with (
        served(**where, streams_per_client=2) as application,
        application.stream(4) as one,
    ):
        await one.until("live")
        async with application.stream(4) as two:
            await two.until("live")
            answer = await check_problem(application, "4", 429, "too-many-streams")
            assert answer.headers["retry-after"] == "1"
            other = {"X-Forwarded-For": "192.0.2.7"}
            async with application.requested(4, **other) as answer:
                assert answer.status_code == 200
        async with application.stream(4):
            pass  # there is room again


async def test_a_key_may_have_so_many_streams_from_wherever_they_come(
    where: dict[str, Any], tmp_path: Path
) -> None:
    file = write_keys(tmp_path / "keys.json", entry("shop"), entry("other"))
    async with (
        served(**where, streams_per_client=1, api_keys_file=file) as application,
        contextlib.AsyncExitStack() as opened,
    ):

        async def status(address: str, key: str) -> int:
            headers = {"X-Forwarded-For": address, "X-API-Key": key}
            stream = application.requested(4, **headers)
            return (await opened.enter_async_context(stream)).status_code

        @until_true
        async def of_the_shop() -> None:
            assert await status("192.0.2.1", "shop") == 200  # as soon as Redis is found

        await of_the_shop()
        assert await status("192.0.2.2", "shop") == 429
        assert await status("192.0.2.2", "other") == 200
        assert await status("192.0.2.2", "unknown") == 429, "by its address"
        assert await status("192.0.2.3", "unknown") == 200, "no key is needed"


async def test_topics_that_are_not_set_up_are_a_problem(
    api_: Served, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.hub, "READ_DEADLINE_S", 0.1)
    filled.store.delete(filled.keys.topics())
    await check_problem(api_, "4", 503, "topics-unknown")


@until_true
async def check_problem(served: Served, asked: str, status: int, slug: str) -> httpx.Response:
    answer = await served.client.get("/v1/stream/bars", params={"instruments": asked})
    assert problem(answer) == (status, slug)
    return answer
