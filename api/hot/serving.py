"""Hot requests under way: how many there may be, what they cost, and what becomes of failures."""

from collections.abc import Callable
from time import perf_counter
from typing import Final

from api.answering import Answering
from api.bugs import log_bug
from api.failures import problem_of
from api.hot.targets import Hot, find
from api.metrics import Metrics
from api.problems import INTERNAL, OVERLOADED, Problem, problem_reply
from api.replies import Reply, conditional
from api.store import Store

MAX_UNDER_WAY: Final = 1024
"""At 20,000 answers a second, what a core makes, the last of them is answered after 50 ms."""

_TOO_MANY: Final = f"{MAX_UNDER_WAY} requests are under way: try again"
_BUG: Final = "An error that is ours, not yours; it stands in the server's log"


class Serving:
    """Answers hot requests from one store."""

    def __init__(self, answering: Answering, store: Store, metrics: Metrics) -> None:
        self._answering = answering
        self._store = store
        self._requests = metrics.requests
        self._under_way = 0

    def find(self, target: bytes) -> Hot | None:
        """Return what a target asks for, None if the ordinary route has to answer it."""
        return find(self._answering, target)

    def serve(self, hot: Hot, if_none_match: bytes | None, send: Callable[[Reply], None]) -> None:
        """Have `send` called with the answer, exactly once, in bounded time."""
        started = perf_counter()
        if self._under_way >= MAX_UNDER_WAY:
            hot.read.close()
            turned_away = problem_reply(hot.path, Problem(OVERLOADED, _TOO_MANY))
            self._end(hot, turned_away, started, send)
            return
        self._under_way += 1

        def done(found: Reply | None, error: Exception | None) -> None:
            self._under_way -= 1
            answer = _failed(hot, error) if found is None else conditional(found, if_none_match)
            self._end(hot, answer, started, send)

        self._store.start(hot.read, done)

    def _end(self, hot: Hot, answer: Reply, started: float, send: Callable[[Reply], None]) -> None:
        send(answer)
        self._requests.note("GET", hot.route, answer.status, perf_counter() - started)


def _failed(hot: Hot, error: Exception | None) -> Reply:
    assert error is not None  # noqa: S101 (a read without an answer raised something)
    problem = problem_of(error)
    if problem is None:
        log_bug(error, "GET", hot.route)
        problem = Problem(INTERNAL, _BUG)
    return problem_reply(hot.path, problem)
