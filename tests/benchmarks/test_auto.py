"""Clients that read while `auto` trains are answered, or there is no result."""

import io
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from rich.console import Console

from benchmarks.auto import Reader, report
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.report import computer
from benchmarks.harness.rounds import Spread
from infra.local.process import LOOPBACK
from tests.patience import PATIENCE_S

ANSWERS = 20


class Api(ThreadingHTTPServer):
    """Answers every request with a status, and notes when it has answered a few."""

    status = 200

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), Answering)
        self.paths: list[str] = []
        self.answered = threading.Event()


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        if len(self.server.paths) == ANSWERS or self.server.status != 200:
            self.server.answered.set()
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_each_answer_has_a_latency_and_the_work_its_result(api: Api) -> None:
    done, latencies = Reader(api.server_port, items=100).during(
        lambda: api.answered.wait(PATIENCE_S)
    )
    assert done
    assert latencies.count == len(api.paths) >= ANSWERS
    assert latencies.p99_s > 0
    assert api.paths[:2] == ["/v1/instruments/0/similar", "/v1/instruments/19/similar"]


def test_an_answer_that_is_no_list_fails_the_run(api: Api) -> None:
    api.status = 503
    with pytest.raises(ContenderError, match=r"answered GET /v1/instruments/0/similar with 503"):
        Reader(api.server_port, items=100).during(lambda: api.answered.wait(PATIENCE_S))


def test_a_server_that_goes_away_fails_the_run() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(PATIENCE_S)
        port = server.getsockname()[1]
        with pytest.raises(ContenderError, match="the API did not answer GET"):
            Reader(port, items=100).during(lambda: server.accept()[0].close())


def test_a_run_that_remembers_tried_no_candidates() -> None:
    ms = {"p50_ms": 0.5, "p99_ms": 2.0}
    run = {"seconds": 18.4, "peak_mb": 1_889.0, "model": "cosine", "ndcg": 0.3724, **ms}
    runs = [{"name": "looking", "candidates": 28, **run}, {"name": "again", "candidates": 0, **run}]
    result = report("2 items", ms, runs, Spread(0.1, 0.0, 0.2), "Valkey 9")
    said = msgspec.json.decode(result.lines())
    assert [one["candidates"] for one in said["runs"]] == [28, 0]
    out = io.StringIO()
    result.show(Console(file=out, width=140))
    title, _, alone, *rows, conditions = (line.split() for line in out.getvalue().splitlines())
    assert title == ["2", "items"]
    assert alone == ["(none)", "0.5", "ms", "2.0", "ms"]
    assert [row[3:5] for row in rows] == [["28", "cosine"], ["-", "cosine"]]
    machine = f"{computer()}, no broker, Valkey 9; others kept 0.00 to 0.20 cores busy"
    assert conditions == machine.split()
