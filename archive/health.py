"""/health, /health/ready and /metrics of the archive, over HTTP, and the end of a stalled process.

Healthy means that the loop keeps running. While a server is unreachable it is healthy, as it waits
and needs no restart, but not ready.
"""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from archive.state import State

END_AFTER_S: Final = 180.0
"""From when a process was first found stalled until it is ended."""
_LOOK_EVERY_S: Final = 10.0

log = structlog.get_logger(__name__)


def serve(state: State, host: str, port: int) -> None:
    """Start serving, on threads of its own.

    Raises:
        OSError: the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path == "/health":
                status = "stalled" if state.is_stalled else "waiting" if state.waits_for else "ok"
                self._answer_json(503 if state.is_stalled else 200, {"status": status})
            elif self.path == "/health/ready":
                status = "ready" if state.is_ready else "not ready"
                waits = {"waits_for": state.waits_for} if state.waits_for else {}
                self._answer_json(200 if state.is_ready else 503, {"status": status} | waits)
            else:
                self._answer_json(404, {"status": "not found"})

        def log_message(self, *_: Any) -> None:
            """Log nothing: probes ask all the time."""

        def _answer_json(self, code: int, body: dict[str, str]) -> None:
            self._answer(code, json.dumps(body).encode(), "application/json")

        def _answer(self, code: int, body: bytes, content_type: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()


def watch(
    state: State, end_after_s: float = END_AFTER_S, look_every_s: float = _LOOK_EVERY_S
) -> None:
    """Look from now on, in a thread; end the process with 1 when it has been stalled for too long.

    Kubernetes restarts what is unhealthy, Docker Compose only what has ended. A loop that waits for
    a server goes on, and is not ended. One that stands still is in a call that does not return, and
    no other thread can end that call. Kafka still has what is not committed.
    """

    def look() -> None:
        stalled_s = 0.0
        while stalled_s <= end_after_s:
            time.sleep(look_every_s)
            stalled_s = stalled_s + look_every_s if state.is_stalled else 0.0
        log.error("the loop stands still: ending, so that a new process is started")
        os._exit(1)

    threading.Thread(target=look, name="last resort", daemon=True).start()
