"""clients/python against a server that answers what each test says.

Against the real API: tests/docs/test_client_endpoints.py.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import pytest

from tests.http_server import Handler, serving
from tickrec_client import Tickrec, TickrecError, stream_events
from tickrec_client.stream_events import Change, Live, LiveBar, Stale
from tickrec_client.structs import Gap, Interaction

TRADE = Interaction(user_id="ABC", instrument_id=4, ts=1629061628123)
BAR = {"t": 0, "o": 1, "h": 1, "l": 1, "c": 1, "v": 0, "n": 1, "vw": None, "closed": True}


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
    at_s: float


@dataclass
class Served:
    """A client of a server, and what it asked."""

    tickrec: Tickrec
    asked: list[Asked]


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve these answers in their order, one a request, to a client."""
    stack = contextlib.ExitStack()

    def serve(*answers: Said) -> Served:
        came: list[Asked] = []
        left = iter(answers)

        class Answering(Handler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def answer(self) -> None:
                came.append(Asked(self.requestline, dict(self.headers), time.monotonic()))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = next(left)
                self.send(answer.status, answer.body.encode(), **answer.headers)

        url = f"http://{stack.enter_context(serving(Answering))}"
        return Served(stack.enter_context(Tickrec(url)), came)

    with stack:
        yield serve


def bars(*opens: float) -> Said:
    found = [{**BAR, "o": price} for price in opens]
    said = {"instrument_id": 4, "interval": "1m", "bars": found, "next_page_token": None}
    return Said(200, json.dumps(said), {"ETag": f'"{opens}"'})


def opens(tickrec: Tickrec, instrument: int = 4, limit: int = 5) -> list[float]:
    return [bar.o for bar in tickrec.instrument_bars(instrument, limit=limit).bars]


def problem(status: int, kind: str, retry_after_s: int | None = None) -> Said:
    headers = {"Content-Type": "application/problem+json"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Said(status, f'{{"type":"urn:tickrec:problem:{kind}","detail":"why"}}', headers)


BROKEN = Said(200, headers={"Content-Length": "9", "Connection": "close"})
"""Ends before what it announced."""


@pytest.mark.parametrize(
    ("failed", "pause_s"),
    [(problem(503, "overloaded", 1), 1), (problem(429, "rate-limited", 1), 1), (BROKEN, 0)],
)
def test_a_read_is_asked_again_but_not_before_the_time_that_the_api_says(
    serve: Serve, failed: Said, pause_s: float
) -> None:
    served = serve(failed, bars(30.72))
    assert opens(served.tickrec) == [30.72]
    first, second = served.asked
    assert first.line == second.line == "GET /v1/instruments/4/bars?limit=5 HTTP/1.1"
    assert second.at_s - first.at_s >= pause_s


@pytest.mark.parametrize(
    ("failed", "says"),
    [
        (problem(404, "unknown-instrument"), "404 unknown-instrument: why"),
        (Said(418, "a teapot"), "418 about:blank: a teapot"),
    ],
)
def test_a_read_that_cannot_succeed_is_asked_once_and_tells_its_problem(
    serve: Serve, failed: Said, says: str
) -> None:
    served = serve(failed)
    with pytest.raises(TickrecError, match=says):
        opens(served.tickrec)
    assert len(served.asked) == 1


@pytest.mark.parametrize(
    "failed",
    [
        problem(503, "log-unavailable"),
        problem(429, "rate-limited", 0),
        problem(409, "request-in-progress", 0),
        BROKEN,
    ],
)
def test_a_write_is_sent_again_with_the_same_idempotency_key(serve: Serve, failed: Said) -> None:
    taken = Said(202, '{"quotes":0,"interactions":1,"late":0}')
    served = serve(failed, taken, failed, taken, taken)

    served.tickrec.publish_events([TRADE])
    served.tickrec.publish_events([TRADE], idempotency_key="mine")
    served.tickrec.publish_events([TRADE])

    first, again, *mine, other = [asked.headers["Idempotency-Key"] for asked in served.asked]
    assert first == again != other
    assert mine == ["mine", "mine"]


def test_what_has_not_changed_is_kept_and_what_has_is_asked_for(serve: Serve) -> None:
    served = serve(bars(1), Said(304), bars(2))
    assert [opens(served.tickrec), opens(served.tickrec), opens(served.tickrec)] == [[1], [1], [2]]
    tag = '"(1,)"'
    assert [asked.headers.get("If-None-Match") for asked in served.asked] == [None, tag, tag]


@pytest.mark.parametrize(
    ("user_id", "in_path"), [("Ada/Love lace?", "Ada%2FLove%20lace%3F"), ("..", "%2E%2E")]
)
def test_a_user_id_may_have_any_character(serve: Serve, user_id: str, in_path: str) -> None:
    served = serve(Said(200, json.dumps({"user_id": user_id, "items": []})))
    served.tickrec.user_history(user_id)
    assert served.asked[0].line.split()[1] == f"/v1/users/{in_path}/history"


def test_a_stream_that_breaks_goes_on_with_what_it_missed_and_tells_that_it_was_stale(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_events, "RECONNECT_S", 0.0)
    unfinished = 'event: bar\ndata: {"t":1}'
    broken = Said(200, event(1) + unfinished, {"Content-Length": "999", "Connection": "close"})
    live = "event: unheard-of\ndata: 1\n\nevent: live\ndata: {}\n\n"
    again = Said(200, event(4) + live)
    missed = [
        {"interval": "1m", "unknown": [], "bars": {"4": [minute(t) for t in some]}, **more}
        for some, more in (
            ([1, 2], {"next_page_token": "rest"}),
            ([3, 4], {"next_page_token": None, "gap": {"start": 0, "end": 60_000}}),
        )
    ]
    pages = [Said(200, json.dumps(page), {"ETag": '"x"'}) for page in missed]
    served = serve(broken, problem(503, "not-ready", 0), again, *pages)
    streamed = list(islice(served.tickrec.stream_bars([4, "SUCA"]), 9))
    gone = Stale("disconnected")
    gap = Gap(start=0, end=60_000)
    assert [what(change) for change in streamed] == [1, gone, gone, 1, 2, 3, gap, 4, Live()]
    *opened, first, second = [request.line.split()[1] for request in served.asked]
    assert opened == ["/v1/stream/bars?instruments=4%2CSUCA"] * 3
    assert first == "/v1/bars?instruments=4&start=0&end=240000&limit=10000"
    assert second == f"{first}&page_token=rest"


def minute(n: int) -> dict[str, object]:
    return {**BAR, "t": n * 60_000}


def event(n: int) -> str:
    data = json.dumps({**minute(n), "instrument_id": 4})
    return f"retry: 2000\n\n:\n\nevent: bar\ndata: {data}\n\n"


def what(change: Change) -> object:
    return change.t // 60_000 if isinstance(change, LiveBar) else change
