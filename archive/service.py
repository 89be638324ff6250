"""The archive as a process: its state, probes over HTTP, patience, and its end when it is stalled.

Healthy means that the loop keeps running. While a server is unreachable it is healthy, as it waits
and needs no restart, but not ready.
"""

import json
import os
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, ParamSpec, TypeVar

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pyiceberg.exceptions import CommitFailedException
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_when_event_set,
    wait_random_exponential,
)

from runtime.archive.catalog import is_passing

STALLED_AFTER_S: Final = 120.0
"""Without an iteration of the loop: longer than any commit that is not stuck."""
MAINTENANCE_STALLED_AFTER_S: Final = 3_600.0
"""Without a finished table: compacting a large one takes some minutes."""


class State:
    """Written by the loop, read by the server of health."""

    def __init__(self, stalled_after_s: float = STALLED_AFTER_S) -> None:
        self._beat_s, self._stalled_after_s = time.monotonic(), stalled_after_s
        self.waits_for: str | None = None
        """what is unreachable, with its error"""
        self.has_begun = False
        """whether all tables were opened"""

    def beat(self) -> None:
        """Note that the loop is running."""
        self._beat_s = time.monotonic()

    @property
    def is_stalled(self) -> bool:
        """Whether the loop has been stalled for a while."""
        return time.monotonic() - self._beat_s > self._stalled_after_s

    @property
    def is_ready(self) -> bool:
        """Whether what is read can be committed."""
        return self.has_begun and self.waits_for is None and not self.is_stalled


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


_BACKOFF: Final = wait_random_exponential(multiplier=0.5, max=30)

P = ParamSpec("P")
T = TypeVar("T")


class StoppedError(RuntimeError):
    """A stop was requested while it waited for an unreachable server."""


class Patience:
    """Retries calls that fail because a server is unreachable."""

    def __init__(self, state: State, stop: threading.Event) -> None:
        self._state, self._stop = state, stop

    def __call__(
        self,
        sleep: Callable[[float], None],
        call: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return the result of `call`, once all servers are reachable.

        Args:
            sleep: how to wait between two attempts.
            call: what to try.
            *args: of it.
            **kwargs: of it.

        Raises:
            StoppedError: a stop was requested before that.
        """
        tries = Retrying(
            retry=retry_if_exception(is_retryable),
            wait=_BACKOFF,
            stop=stop_when_event_set(self._stop),
            sleep=sleep,
            before_sleep=self._log_retry,
            reraise=True,
        )
        try:
            result = tries(call, *args, **kwargs)
        except Exception as error:
            if self._stop.is_set() and is_retryable(error):
                raise StoppedError(str(error)) from error
            raise
        if self._state.waits_for is not None:
            log.info("goes on", after=self._state.waits_for)
        self._state.waits_for = None
        return result

    def _log_retry(self, tries: RetryCallState) -> None:
        error = tries.outcome.exception() if tries.outcome else None
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        self._state.waits_for = what
        log.warning("waits", why=what, attempt=tries.attempt_number)


def is_retryable(error: BaseException) -> bool:
    """Whether a server is unreachable, or other commits came first each time."""
    return is_passing(error) or isinstance(error, CommitFailedException)
