"""A request to each endpoint of the API, in an order in which all of them succeed."""

import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

_NEW_USER: Final = "smoke-test"
_NEW_INSTRUMENT: Final = 1_000_000
"""not a simulated one"""
_NEW: Final = {"symbol": "NEW", "name": "New Corp.", "categories": ["tech"]}


@dataclass(frozen=True, slots=True)
class Subjects:
    """What to ask about."""

    instrument_id: int
    """the one with the most events"""
    user_id: str
    """one with a history"""
    price: float
    """the newest of the instrument"""
    request_id: str
    """of an answer that recommended `recommended` to the user first"""
    recommended: int


@dataclass(frozen=True, slots=True)
class Request:
    """A request, and what its answer must have."""

    path: str
    filled: str = ""
    """a member that must not be empty, by default the answer; or a part of one that is not JSON"""
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    body: Any = None
    """sent as JSON, if any"""
    status: int = 200
    until: str | None = None
    """for an endless answer: the line to wait for"""

    def __str__(self) -> str:
        return f"{self.method:<6} {self.path}"

    def curl(self, api_url: str) -> str:
        """Return the curl command of a request."""
        implied = "GET" if self.body is None else "POST"
        method = "" if self.method == implied else f"-X {self.method} "
        body = "" if self.body is None else f" --json {shlex.quote(json.dumps(self.body))}"
        return f"curl {method}{shlex.quote(api_url + self.path)}{body}"


def shown(of: Subjects) -> list[Request]:
    """Return the three requests whose answers the demo shows."""
    one = f"/v1/instruments/{of.instrument_id}"
    return [
        Request(f"{one}/bars?limit=2", "bars"),
        Request(f"{one}/similar?n=3", "items"),
        Request(f"/v1/users/{of.user_id}/recommendations?n=3", "items"),
    ]


def requests(of: Subjects) -> Iterator[Request]:
    """Yield a request for each endpoint; those that publish use the current time."""
    yield from shown(of)
    yield from _prices(of.instrument_id)
    yield from _catalog()
    yield from _events(of)
    yield from _lists(of)
    yield from _users()
    yield from _service()


def _prices(one: int) -> Iterator[Request]:
    yield Request(f"/instruments/{one}")
    yield Request(f"/v1/bars?instruments={one}&start=0&limit=5", "bars")
    yield Request(f"/v1/quotes/latest?instruments={one}", "quotes")
    yield Request(f"/v1/snapshots?instruments={one}", "snapshots")
    yield Request("/v1/movers?window=5m&n=3", "movers")
    yield Request(f"/v1/stream/bars?instruments={one}", "event: bar", until="event: live")
    yield Request(f"/v1/stream/quotes?instruments={one}", "event: quote", until="event: live")
    # A plain request opens no WebSocket.
    yield Request("/v1/stream", "title", status=426)


def _catalog() -> Iterator[Request]:
    new, several = f"/v1/instruments/{_NEW_INSTRUMENT}", "/v1/instruments"
    described = [{"instrument_id": _NEW_INSTRUMENT, **_NEW}]
    yield Request(several, "items")
    yield Request(new, "instrument_id", "PUT", _NEW, 202)
    yield Request(several, "instruments", "PUT", described, 202)
    yield Request(f"{several}/{_NEW['symbol']}", "symbol")
    yield Request(new, "instrument_id", "DELETE", status=202)


def _events(of: Subjects) -> Iterator[Request]:
    now_ms = time.time_ns() // 1_000_000
    about = {"instrument_id": of.instrument_id, "price": of.price}
    trade = {"userid": _NEW_USER, "instrid": of.instrument_id, "price": str(of.price)}
    trade["timestamp"] = str(now_ms // 1000)
    events = [
        {"type": "quote", **about, "ts": now_ms},
        {"type": "interaction", "user_id": _NEW_USER, **about, "ts": now_ms},
    ]
    seen = {"request_id": of.request_id, "user_id": of.user_id, "position": 1}
    feedback = {"type": "click", **seen, "instrument_id": of.recommended}
    yield Request("/add/request", "resp", "POST", trade)
    yield Request("/v1/events", "interactions", "POST", events, 202)
    yield Request("/v1/feedback", "clicks", "POST", [feedback], 202)


def _lists(of: Subjects) -> Iterator[Request]:
    basket = {"items": [{"instrument_id": of.instrument_id}], "n": 3}
    batch = {"user_ids": [of.user_id, _NEW_USER], "n": 3}
    yield Request(f"/instruments/similar/{of.instrument_id}", "predicted_items")
    yield Request("/v1/recommendations", "items", "POST", basket)
    yield Request("/v1/recommendations/batch", "recommendations", "POST", batch)
    yield Request("/v1/trending", "items")


def _users() -> Iterator[Request]:
    # Of the event that was just published; the erasure comes last.
    yield Request("/v1/users", "user_ids")
    yield Request(f"/v1/users/{_NEW_USER}/history", "items")
    yield Request(f"/v1/users/{_NEW_USER}/export", "history")
    yield Request(f"/v1/users/{_NEW_USER}", "user_id", "DELETE", status=202)


def _service() -> Iterator[Request]:
    yield Request("/v1/models", "variants")
    yield Request("/v1/models/decisions")
    yield Request("/v1/experiments", "variants")
    yield Request("/v1/pipeline", "topics")
    yield Request("/health/live", "status")
    yield Request("/health/ready", "status")
    yield Request("/metrics", "api_requests_total{")
