"""The server keeps its rules whatever is sent: by its OpenAPI document, and outside of it.

`make fuzz` does the same with more requests. And the fuzz can fail: it reports each rule that an
answer violates, and lost framing.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from redis import Redis

from api.http.answer_headers import SECURITY_HEADERS
from contracts.keyspace import Keyspace
from infra.local.process import LOOPBACK, Command, Server, free_port, running
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.api.conftest import TOPOLOGY
from tests.fuzz.cases import cases
from tests.fuzz.judge import KNOWN_BODY, complaints
from tests.fuzz.request import CANARY, KEY, KNOWN, Case, Request
from tests.fuzz.run import run
from tests.fuzz.served import Served, fill
from tests.fuzz.wire import Answer, FramingError, read_answer
from tests.patience import answers

CASES: Final = int(os.environ.get("FUZZ_CASES", "1500"))
EXAMPLES: Final = os.environ.get("FUZZ_EXAMPLES", "10")
SEED: Final = os.environ.get("FUZZ_SEED")
_FOLDER: Final = Path(__file__).parent
_STREAMED: Final = ("quotes", "interactions", "cooccurrences")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def api(
    topics: Callable[..., Topology],
    store_url: str,
    broker: str,
    namespace: str,
    tmp_path: Path,
    port: int,
) -> Iterator[Served]:
    """`python -m api` with a key, on a filled store and empty topics."""
    topics(**{name: getattr(TOPOLOGY, name) for name in _STREAMED})
    with connect(store_url, "tests") as store:
        assert isinstance(store, Redis)
        fill(store, Keyspace(namespace))
    served = Served(f"http://{LOOPBACK}:{port}", tmp_path / "api.log")
    settings = {
        "API_PORT": str(port),
        "API_KEYS": f"other,{KEY.decode()}",
        "REDIS_URL": store_url,
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "NAMESPACE": namespace,
    }
    command = Command("api", (sys.executable, "-m", "tests.api.patient"), served.log, settings)
    ready = f"{served.address}/health/ready"
    with running(Server(command, served.address, "api", lambda: answers(ready))):
        served.check()
        yield served


async def test_whatever_is_sent_is_answered_by_the_rules_and_harms_no_later_answer(
    api: Served, port: int, seed: int
) -> None:
    found, answers_by_status = await run(port, cases(int(SEED or seed), CASES))
    print(sorted(answers_by_status.items()))
    assert not found, "\n".join(found)
    assert answers_by_status.total() > CASES
    api.check()


@pytest.mark.slow
def test_the_server_keeps_what_its_openapi_document_says(api: Served) -> None:
    """Schemathesis with all of its checks; without a seed, the same requests in each run."""
    ended = subprocess.run(
        (
            *(sys.executable, "-m", "schemathesis.cli", "--config-file"),
            *(str(_FOLDER / "schemathesis.toml"), "run", f"{api.address}/openapi.json"),
            *("--checks", "all", "--header", f"X-API-Key: {KEY.decode()}", "--no-color"),
            *("--continue-on-failure", "--seed", SEED or "1", "--max-examples", EXAMPLES),
        ),
        cwd=_FOLDER.parents[1],  # where the hooks can be imported from
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(ended.stdout)
    assert ended.returncode == 0
    assert "Stateful" in ended.stdout
    api.check()


REQUEST = Request(b"/instruments/x")
PROBLEM = {
    "type": "urn:tickrec:problem:not-found",
    "title": "Not Found",
    "status": 404,
    "detail": "there is no such path",
    "instance": "/instruments/x",
}


def answer(
    body: Any, status: int = 404, kind: bytes = b"application/problem+json", **headers: str
) -> Answer:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    always = ((b"x-request-id", b"1"), *SECURITY_HEADERS)
    return Answer(status, ((b"content-type", kind), *given, *always), encoded)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (answer({**PROBLEM, "status": 500}, 500), "status 500"),
        (answer({**PROBLEM, "status": 500}), "status 404, but 500"),
        (answer({**PROBLEM, "type": "about:blank"}), "type 'about:blank'"),
        (answer({**PROBLEM, "detail": None}), "no problem: Expected `str`"),
        (answer(b"{"), "is not JSON"),
        (answer(b'{"vw": NaN}', 200, b"application/json"), "is not JSON"),
        (answer(PROBLEM, kind=b"application/json"), "not as a problem"),
        (answer(b"Not Found", kind=b"text/plain"), "not as a problem"),
        (answer({**PROBLEM, "detail": "Traceback (most recent call last)"}), "reveals the code"),
        (answer(PROBLEM, location=CANARY.decode()), "stands in the header b'location'"),
        (answer(PROBLEM, server="uvicorn"), "names its server"),
        (answer({**PROBLEM, "status": 503}, 503), "without the header b'retry-after'"),
        (Answer(200, (), b""), "x-content-type-options"),
        (Answer(200, (), b""), "the request has no id"),
    ],
)
def test_each_broken_rule_is_named(given: Answer, complaint: str) -> None:
    assert complaint in "; ".join(complaints(REQUEST, given))


def test_an_answer_that_keeps_the_rules_is_fine() -> None:
    assert complaints(REQUEST, answer(PROBLEM)) == []
    assert complaints(KNOWN, answer(KNOWN_BODY, 200, b"application/json")) == []


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: \xff\r\n\r\n",
        b"HTTP/1.1 200 OK\nx: y\n\n",
        b"{}",
        b"",
    ],
)
async def test_an_answer_whose_end_is_in_doubt_is_none(wire: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(wire)
    reader.feed_eof()
    with pytest.raises(FramingError):
        await read_answer(reader, head=False)


async def test_a_server_that_answers_out_of_order_is_found_out() -> None:
    alive, other = (
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        for body in (KNOWN_BODY, b"{}")
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(alive + other + alive)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found, _ = await run(port, [Case("pipelined", (REQUEST, KNOWN))])
    assert any("framing or order is lost" in complaint for complaint in found)
