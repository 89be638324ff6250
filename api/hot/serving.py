"""Serves hot requests: bounds their number, measures them, and handles failures."""

from __future__ import annotations  # else annotations of inner functions are evaluated at each call

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Final

from api.hot.request import Head, Heads, Match, Matcher
from api.http.answer_headers import AnswerFields, new_id
from api.http.endpoint import ReadEndpoint, Table
from api.http.failures import log_bug, problem_of
from api.http.keys.access import Access
from api.http.limits import REFUSED_AFTER_S, Gate, Refusals
from api.http.metrics import Metrics
from api.http.problems import INTERNAL, OVERLOADED, Problem, problem_reply
from api.http.reply import Headers, Reply, conditional, fields
from api.redis.store import Store
from runtime.logs import REQUEST_ID

MAX_UNDER_WAY: Final = 1024
"""At 20,000 answers a second, the rate of one core, the last one is answered after 50 ms."""
_TURNED_AWAY: Final = "turned away"
"""In the metrics, instead of a route: finding the route is not worth the time."""

Send = Callable[[Reply, bytes, bytes], None]
"""Sends an answer, with the request's id and the fields of its quota."""

_BUG: Final = "An internal error; see the server's log"


class Serving:
    """Answers hot requests from one store."""

    def __init__(
        self, table: Table, store: Store, metrics: Metrics, access: Access, heads: Heads
    ) -> None:
        self.heads = heads
        self.match = Matcher(e for e in table if isinstance(e, ReadEndpoint) and e.hot).match
        """Returns the hot endpoint for a target, None if the ordinary route has to answer it."""
        self._store = store
        self._begin_read = access.begin_read
        self._requests = metrics.requests
        self.gate = Gate(MAX_UNDER_WAY)
        self._refusals = Refusals()
        self._of_all: Headers = []
        self._of_all_as_sent = b""

    def serve(self, match: Match, head: Head, send: Send) -> None:
        """Call `send` with the answer, exactly once, in bounded time."""
        started = perf_counter()
        endpoint, if_none_match = match.endpoint, head.if_none_match
        own = AnswerFields(head.request_id or new_id())
        self.gate.under_way += 1

        def done(found: Reply | None, error: Exception | None) -> None:
            self.gate.under_way -= 1
            if found is None:
                answer = _failed(match, error, own.request_id)
            else:
                answer = conditional(found, if_none_match)
            send(answer, own.request_id, own.rate)
            self._requests.note("GET", endpoint.path, answer.status, perf_counter() - started)

        try:
            read, _ = self._begin_read(endpoint, match.of_path, match.query, head.credentials, own)
        except Exception as error:  # noqa: BLE001 (a bug needs an answer, too)
            done(None, error)
        else:
            self._store.start(read, done)

    def as_sent(self, of_all: Headers) -> bytes:
        """Return the headers of all answers as they are sent: uvicorn replaces them each second."""
        if of_all is not self._of_all:
            self._of_all, self._of_all_as_sent = of_all, fields(of_all)
        return self._of_all_as_sent

    def turn_away(self, target: bytes, head: Head, send: Send) -> None:
        """Call `send` with a rejection, a while from now."""
        self._refusals.later(partial(self._refuse, target, head.request_id or new_id(), send))

    def _refuse(self, target: bytes, request_id: bytes, send: Send) -> None:
        path = target.partition(b"?")[0].decode("latin-1")
        send(problem_reply(path, self.gate.problem(), request_id), request_id, b"")
        self._requests.note("GET", _TURNED_AWAY, OVERLOADED.status, REFUSED_AFTER_S)


def _failed(match: Match, error: Exception | None, request_id: bytes) -> Reply:
    assert error is not None  # noqa: S101 (a read without an answer raised something)
    problem = problem_of(error)
    if problem is None:
        token = REQUEST_ID.set(request_id.decode())
        log_bug(error, "GET", match.endpoint.path)
        REQUEST_ID.reset(token)
        problem = Problem(INTERNAL, _BUG)
    return problem_reply(match.path, problem, request_id)
