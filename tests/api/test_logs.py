"""A server logs nothing about its users, whatever fails; `tests.fuzz` sends odder requests."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

from api.app import create_app
from api.settings import ApiSettings
from contracts.keyspace import Keyspace
from infra.local.process import Command, Server, free_port, running
from infra.local.store import valkey
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.described import operations
from tests.patience import PATIENCE_S, answers

from .conftest import Filled

USER: Final = "Zoë-Marker"
KEY: Final = "key-of-marker"
INSTRUMENT: Final = 884422119933
PRICE: Final = 7731.990017
MARKS: Final = re.compile(r"marker|884422119933|7731\.99", re.IGNORECASE)

QUOTE: Final = {"type": "quote", "instrument_id": INSTRUMENT, "price": PRICE, "ts": 1629061628123}
TRADE: Final = {"type": "interaction", "user_id": USER, "instrument_id": INSTRUMENT, "price": PRICE}
LEGACY: Final = {
    "userid": USER,
    "price": str(PRICE),
    "timestamp": "1629061628",
    "instrid": INSTRUMENT,
}
FEEDBACK: Final = {"type": "click", "request_id": USER, "user_id": USER, "instrument_id": 1}

DESCRIBED: Final = list(operations(create_app(ApiSettings()).openapi()))
READS: Final = [
    *(
        each.target(query, dict.fromkeys((*each.in_path, *each.in_query), USER))
        for each in DESCRIBED
        for query in (each.needed, each.in_query)
        if each.method == "GET"
    ),
    *(each.target((), dict.fromkeys(each.in_path, INSTRUMENT)) for each in DESCRIBED),
    f"/v1/bars?instruments={INSTRUMENT}",
    f"/v1/users/broken-{USER}/history",
    f"/v1/users/broken-{USER}/recommendations",
    f"/v1/users/{'marker' * 100}/history",
    *(f"/v1/users/{USER}", f"/fails/{USER}", f"/{USER}", "/docs", "/openapi.json"),
]
WRITES: Final[list[tuple[str, Any]]] = [
    *((each.path, body) for each in DESCRIBED for body in each.bodies if each.method == "POST"),
    ("/v1/events", [QUOTE, TRADE]),
    ("/v1/events", [{**QUOTE, "price": str(PRICE)}, {**TRADE, "user_id": USER * 50}]),
    ("/v1/feedback", FEEDBACK),
    ("/v1/recommendations/batch", {"user_ids": [USER]}),
    ("/add/request", {**LEGACY, "price": USER, "instrid": -INSTRUMENT}),
]
WITH_A_BUG: Final = """
from api import __main__ as program

create_app = program.create_app

async def fails(user_id: str) -> None:
    try:
        int(user_id)
    except ValueError as error:
        raise KeyError(user_id) from error

def with_a_bug(settings, **more):
    app = create_app(settings, **more)
    app.get("/fails/{user_id}")(fails)
    return app

program.create_app = with_a_bug
program.main()
"""
"""The real program, with a route whose exceptions quote data."""


@dataclass(frozen=True)
class Watched:
    server: Server
    store_pid: int

    def log(self) -> str:
        return self.server.command.log.read_text()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A server with keys, on its own Redis; nothing listens at its Kafka address."""
    folder = tmp_path_factory.mktemp("logs")
    store, port = valkey(free_port(), folder), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "API_PORT": str(port),
        "API_KEYS": f"{KEY},other",
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "REDIS_URL": store.address,
    }
    command = Command("api", (sys.executable, "-c", WITH_A_BUG), folder / "api.log", environment)
    server = Server(command, url, "api", lambda: answers(f"{url}/health/live"))
    with ExitStack() as stack:
        process = stack.enter_context(running(store))
        fill(store.address)
        stack.enter_context(running(server))
        yield Watched(server, process.pid)


def fill(url: str) -> None:
    """Write the data that answers need, and an invalid history."""
    keys = Keyspace("live")
    with connect(url, "tests") as store:
        store.hset(keys.topics(), mapping=Topology(1, 1, 1).as_hash())
        store.hset(keys.history(0, f"broken-{USER}"), mapping={USER: USER, "off": "[0,1]"})
        lists = {str(INSTRUMENT): [("1", 0.5, 2)]}
        Filled(store, keys).generation("20210815T210000Z-1", lists, [("1", 3)])


async def send_reads(url: str) -> set[int]:
    """Return the statuses that came."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        reads = [client.get(path, headers={"Authorization": f"Bearer {KEY}"}) for path in READS]
        return {answer.status_code for answer in await asyncio.gather(*reads)}


async def send_writes(url: str) -> set[int]:
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        writes = [
            client.post(path, json=body, headers={"X-API-Key": key})
            for path, body in WRITES
            for key in (KEY, f"wrong-{KEY}")
        ]
        return {answer.status_code for answer in await asyncio.gather(*writes)}


async def test_no_log_line_names_a_user_a_key_an_instrument_or_a_price(watched: Watched) -> None:
    url = watched.server.address
    written, read = await asyncio.gather(send_writes(url), send_reads(url))
    assert {401, 422, 503} <= written
    assert {200, 404, 422, 500} <= read
    os.kill(watched.store_pid, signal.SIGSTOP)
    assert 503 in await send_reads(url)
    os.kill(watched.store_pid, signal.SIGCONT)

    assert "GET /fails/{user_id} failed: builtins.KeyError" in watched.log()
    assert MARKS.findall(watched.log()) == []
