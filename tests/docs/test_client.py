"""docs/examples/client.py against a server that answers what each test says.

That it runs as a script, against the real API, is shown in tests/infra/test_load_balancer.py.
"""

import doctest
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice

import httpx
import pytest

from docs.examples import client as example
from docs.examples.client import Tickrec, TickrecError

TRADE = {"type": "interaction", "user_id": "ABC", "instrument_id": 4, "ts": 1629061628123}


@dataclass(frozen=True)
class Said:
    """One answer of the server."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One request that came, and when."""

    line: str
    headers: dict[str, str]
    connection: object
    at_s: float


@dataclass
class Server:
    url: str = ""
    asked: list[Asked] = field(default_factory=list)


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve these answers in their order, one a request."""
    servers: list[ThreadingHTTPServer] = []

    def serve(*answers: Said) -> Server:
        serving, left = Server(), iter(answers)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                asked = Asked(
                    self.requestline, dict(self.headers), self.client_address, time.monotonic()
                )
                serving.asked.append(asked)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = next(left)
                self.send_response(answer.status)
                length = {"Content-Length": str(len(answer.body))}
                for name, value in {**length, **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body.encode())

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}).start()
        serving.url = f"http://127.0.0.1:{servers[-1].server_port}"
        return serving

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def bars(*opens: float) -> Said:
    found = ",".join(f'{{"o":{price}}}' for price in opens)
    return Said(200, f'{{"bars":[{found}]}}', {"ETag": f'"{found}"'})


def problem(status: int, kind: str, retry_after_s: int | None = None) -> Said:
    headers = {"Content-Type": "application/problem+json"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Said(status, f'{{"type":"urn:tickrec:problem:{kind}","detail":"why"}}', headers)


@pytest.mark.parametrize("busy", [problem(503, "overloaded", 1), problem(429, "rate-limited", 1)])
def test_a_read_is_asked_again_but_not_before_the_time_that_the_api_says(
    serve: Serve, busy: Said
) -> None:
    server = serve(busy, bars(30.72))

    with Tickrec(server.url) as tickrec:
        assert tickrec.bars(4) == [{"o": 30.72}]

    first, second = server.asked
    assert first.line == second.line == "GET /v1/instruments/4/bars HTTP/1.1"
    assert second.at_s - first.at_s >= 1


def test_a_read_that_cannot_succeed_is_asked_once_and_tells_its_problem(serve: Serve) -> None:
    server = serve(problem(404, "unknown-instrument"))

    with (
        Tickrec(server.url) as tickrec,
        pytest.raises(TickrecError, match="404 unknown-instrument: why"),
    ):
        tickrec.bars(4)

    assert len(server.asked) == 1


def test_an_error_that_is_not_of_the_api_is_told_too(serve: Serve) -> None:
    server = serve(Said(418, "a teapot"))

    with (
        Tickrec(server.url) as tickrec,
        pytest.raises(TickrecError, match="418 about:blank: a teapot"),
    ):
        tickrec.bars(4)


def test_a_write_that_kafka_may_have_is_never_sent_again(serve: Serve) -> None:
    server = serve(problem(503, "log-unavailable", 1))

    with Tickrec(server.url) as tickrec, pytest.raises(TickrecError) as raised:
        tickrec.publish([TRADE])

    assert (raised.value.kind, raised.value.retry_after_s) == ("log-unavailable", 1)
    assert len(server.asked) == 1


@pytest.mark.parametrize("busy", [problem(503, "overloaded", 0), problem(429, "rate-limited", 0)])
def test_a_write_of_which_nothing_was_taken_is_sent_again(serve: Serve, busy: Said) -> None:
    server = serve(busy, Said(202, '{"quotes":0,"interactions":1}'))

    with Tickrec(server.url) as tickrec:
        assert tickrec.publish([TRADE]) == {"quotes": 0, "interactions": 1}


def test_a_write_whose_connection_broke_is_not_sent_again(serve: Serve) -> None:
    broken = {"Content-Length": "9", "Connection": "close"}  # ends before what it announced
    server = serve(Said(202, headers=broken))

    with Tickrec(server.url) as tickrec, pytest.raises(httpx.TransportError):
        tickrec.publish([TRADE])

    assert len(server.asked) == 1


def test_what_has_not_changed_is_kept_and_what_has_is_asked_for(serve: Serve) -> None:
    server = serve(bars(1), Said(304), bars(2))

    with Tickrec(server.url) as tickrec:
        assert [tickrec.bars(4), tickrec.bars(4), tickrec.bars(4)] == [
            [{"o": 1}],
            [{"o": 1}],
            [{"o": 2}],
        ]

    assert [asked.headers.get("If-None-Match") for asked in server.asked] == [
        None,
        '"{"o":1}"',
        '"{"o":1}"',
    ]


def test_another_query_is_another_answer(serve: Serve) -> None:
    server = serve(bars(1), bars(2))

    with Tickrec(server.url) as tickrec:
        assert tickrec.bars(4, limit=1) != tickrec.bars(4, limit=2)

    assert "If-None-Match" not in server.asked[1].headers


def test_requests_share_a_connection_and_carry_the_key(serve: Serve) -> None:
    server = serve(bars(1), bars(2))

    with Tickrec(server.url, "secret") as tickrec:
        tickrec.bars(4)
        tickrec.bars(5)

    assert len({asked.connection for asked in server.asked}) == 1
    assert {asked.headers["X-API-Key"] for asked in server.asked} == {"secret"}


def test_a_user_id_may_have_any_character(serve: Serve) -> None:
    server = serve(Said(200, "{}"))

    with Tickrec(server.url) as tickrec:
        tickrec.recommendations("Ada/Love lace?")

    assert server.asked[0].line.split()[1] == "/v1/users/Ada%2FLove%20lace%3F/recommendations"


def test_a_stream_that_breaks_is_opened_again_and_tells_that_it_was_stale(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "RECONNECT_S", 0.0)
    frame = 'retry: 2000\n\n:\n\nevent: bar\ndata: {"t":%d}\n\n'
    broken = Said(200, frame % 1, {"Content-Length": "999", "Connection": "close"})
    server = serve(broken, problem(503, "not-ready", 0), Said(200, frame % 2))

    with Tickrec(server.url) as tickrec:
        told = list(islice(tickrec.live([4, 5]), 4))

    gone = ("stale", {"reason": "disconnected"})
    assert told == [("bar", {"t": 1}), gone, gone, ("bar", {"t": 2})]
    assert {asked.line.split()[1] for asked in server.asked} == {
        "/v1/stream/bars?instruments=4%2C5"
    }


def test_a_stream_that_breaks_a_rule_is_not_opened_again(serve: Serve) -> None:
    server = serve(problem(422, "invalid-request"))

    with Tickrec(server.url) as tickrec, pytest.raises(TickrecError, match="invalid-request"):
        next(tickrec.live([]))


def test_its_own_examples_hold() -> None:
    assert doctest.testmod(example).failed == 0
