"""JSON quotes to minute bars with traces on, against the same with traces off.

Hypothesis: traces cost less than 2 % of the worker's time at its full rate, as a batch of thousands
of quotes is one span.

Work: as `benchmarks.bars`; quotes as most feeds publish them, without headers. Traced, the worker
sends its spans once a second to a process that reads them and answers, which must have been sent
some. One run before the first round is not counted.

The quotes a second of CPU ("per core used") say more than the rate, which the last flush and the
machine's neighbors bend.
"""

import contextlib
import http.client
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.synchronize import Barrier
from typing import Any, Final

from benchmarks.bars import describe, make_quotes, run_ours
from benchmarks.harness import session
from benchmarks.harness.child import child, meet, meeting
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.publish import publish, record
from benchmarks.harness.report import compared
from benchmarks.harness.rounds import Run, interleaved
from contracts.topics import QUOTES
from infra.local.process import LOOPBACK, free_port

_ON: Final = "traces on"
_OFF: Final = "traces off"


def tracing(
    rounds: session.Rounds = 5,
    quotes: session.Quotes = 4_000_000,
    instruments: session.Instruments = 50_000,
    *,
    json: session.Json = False,
) -> None:
    """JSON quotes to minute bars with traces on, against the same with traces off."""
    with session.on_stage() as stage, _receiver() as port:
        stage.namespace()
        publish(stage.broker.address, QUOTES.name, map(record, make_quotes(quotes, instruments)))
        on = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "1000",
        }

        def traced() -> Run:
            before = _received(port)
            run = run_ours(stage, quotes, settings=on)
            if _received(port) == before:
                raise ContenderError("traces were on, but no span was sent")
            return run

        traced()  # not counted: lets the broker's JIT compile what both will run
        contenders: Mapping[str, Callable[[], Run]] = {
            _ON: traced,
            _OFF: lambda: run_ours(stage, quotes),
        }
        runs = interleaved(contenders, rounds, session.say)
        work = f"{describe(quotes, instruments)}, one worker"
        session.present(compared("tracing", work, "quotes/s", runs, stage.servers), json=json)


@contextlib.contextmanager
def _receiver() -> Iterator[int]:
    """Run a process that takes spans, for the block; hand out its port."""
    port, start = free_port(), meeting(2)
    with child(start, receive, port):
        meet(start)
        yield port


def receive(start: Barrier, port: int) -> None:
    """Read what is posted, and answer a GET with the number of bytes that came; without end."""
    received = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal received
            received += len(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(b"")

        def do_GET(self) -> None:
            self._answer(b"%d" % received)

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((LOOPBACK, port), Handler) as server:
        meet(start)
        server.serve_forever()


def _received(port: int) -> int:
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port)) as connection:
        connection.request("GET", "/")
        return int(connection.getresponse().read())
