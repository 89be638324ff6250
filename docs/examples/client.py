"""A client of Tickrec to start from: one pool of connections, timeouts, retries, ETags, live bars.

    pip install httpx tenacity
    python client.py http://127.0.0.1:8000 [API key]

asks a running stack about instrument 4 and prints its answers. Copy it, and keep what you need.
"""
# ruff: noqa: T201 (a script that prints)

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self, TypedDict
from urllib.parse import quote

import httpx
import tenacity

TIMEOUT: Final = httpx.Timeout(8, connect=1)
"""A write waits for Kafka, 5 s at most."""
POOL: Final = httpx.Limits(max_connections=100, keepalive_expiry=4)
"""Shorter than the 5 s after which the API closes a connection that is not used."""
GIVE_UP_AFTER_S: Final = 30
LISTENING: Final = httpx.Timeout(60, connect=1)
"""A stream says something every 15 s, if only that it lives."""
RECONNECT_S: Final = 2.0
"""As the stream's `retry` says."""
KEPT_ANSWERS: Final = 1000
TYPE_PREFIX: Final = "urn:tickrec:problem:"


class Bar(TypedDict):
    """A bar: start (epoch ms), prices, volume, number of quotes, average price."""

    t: int
    o: float
    h: float
    l: float  # noqa: E741 (the field's letter)
    c: float
    v: float
    n: int
    vw: float | None
    closed: bool


class Recommended(TypedDict):
    """A recommended instrument, and the instruments that speak for it."""

    instrument_id: int
    score: float
    because: list[int]


class Recommendations(TypedDict):
    """Instruments for a user, best first; `request_id` goes back with feedback on them."""

    user_id: str
    request_id: str
    source: str
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class TickrecError(Exception):
    """The API answered with a problem (RFC 9457); `kind` is the last part of its `type`."""

    def __init__(self, answer: httpx.Response) -> None:
        self.problem = _problem(answer)
        self.status = answer.status_code
        self.kind = self.problem["type"].removeprefix(TYPE_PREFIX)
        self.retry_after_s = float(answer.headers.get("Retry-After", 0))
        super().__init__(f"{self.status} {self.kind}: {self.problem.get('detail')}")


class Tickrec:
    """Asks one API. Threads may share it, and then share its connections."""

    def __init__(self, url: str, api_key: str = "") -> None:
        headers = {"X-API-Key": api_key} if api_key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, limits=POOL)
        self._kept: dict[httpx.URL, httpx.Response] = {}

    def bars(self, instrument_id: int, **query: str | int) -> list[Bar]:
        """Return bars, oldest first. The query is that of the API: `limit`, `interval`, ..."""
        bars: list[Bar] = self._get(f"/v1/instruments/{instrument_id}/bars", query)["bars"]
        return bars

    def recommendations(self, user_id: str, **query: str | int) -> Recommendations:
        """Return instruments for a user."""
        found: Recommendations = self._get(f"/v1/users/{quote(user_id, '')}/recommendations", query)
        return found

    def publish(self, events: list[Mapping[str, Any]]) -> dict[str, int]:
        """Publish up to 1,000 quotes and interactions; return how many Kafka has taken."""
        taken: dict[str, int] = self._post("/v1/events", events)
        return taken

    def feedback(self, seen: list[Mapping[str, Any]]) -> dict[str, int]:
        """Tell which recommendations were shown and which were clicked, up to 1,000 at once."""
        taken: dict[str, int] = self._post("/v1/feedback", seen)
        return taken

    def live(self, instrument_ids: Iterable[int]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what happens to bars, without end: what kind of event, and its data.

        - `bar`: the newest bar of each instrument, then each that changes, with `instrument_id`
        - `live`: the newest bars are complete
        - `stale`: from here to the next `live`, changes may be missing

        A stream that breaks is opened again, and begins with the newest bars.
        """
        query = {"instruments": ",".join(map(str, instrument_ids))}
        while True:
            pause_s = RECONNECT_S
            try:
                yield from self._stream(query)
            except (TickrecError, httpx.TransportError) as error:
                if not _may_pass(error):
                    raise
                pause_s = max(pause_s, _retry_after_s(error))
            yield "stale", {"reason": "disconnected"}
            time.sleep(pause_s)

    def _stream(self, query: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
        path = "/v1/stream/bars"
        with self._http.stream("GET", path, params=query, timeout=LISTENING) as answer:
            if answer.is_error:
                answer.read()
                raise TickrecError(answer)
            for name, data in server_sent_events(answer.iter_lines()):
                yield name, json.loads(data)

    def _get(self, path: str, query: Mapping[str, str | int]) -> Any:
        """Ask, and let the API say 304 if its answer is the one that we have."""
        request = self._http.build_request("GET", path, params=query)
        kept = self._kept.get(request.url)
        if kept is not None:
            request.headers["If-None-Match"] = kept.headers["ETag"]
        answer = READS(self._send, request)
        if kept is not None and answer.status_code == httpx.codes.NOT_MODIFIED:
            return kept.json()
        if "ETag" in answer.headers:
            self._keep(request.url, answer)
        return answer.json()

    def _post(self, path: str, body: list[Mapping[str, Any]]) -> Any:
        return WRITES(self._send, self._http.build_request("POST", path, json=body)).json()

    def _send(self, request: httpx.Request) -> httpx.Response:
        answer = self._http.send(request)
        if answer.is_error:
            raise TickrecError(answer)
        return answer

    def _keep(self, url: httpx.URL, answer: httpx.Response) -> None:
        if len(self._kept) >= KEPT_ANSWERS:
            self._kept.clear()
        self._kept[url] = answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()


def server_sent_events(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield name and data of each event; comments, ids and `retry` are for others.

    >>> list(server_sent_events(["event: bar", "data: {}", "", ": alive", "", "data: 1", ""]))
    [('bar', '{}'), ('message', '1')]
    """
    name, data = "message", []
    for line in lines:
        field, _, value = line.partition(":")
        if field == "event":
            name = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))
        elif not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []


def _problem(answer: httpx.Response) -> dict[str, Any]:
    """Return the problem of an answer, also of one that is not the API's."""
    if answer.headers.get("Content-Type") == "application/problem+json":
        problem: dict[str, Any] = answer.json()
        return problem
    return {"type": "about:blank", "title": answer.reason_phrase, "detail": answer.text[:200]}


def _may_pass(error: BaseException) -> bool:
    """Whether a read that failed may succeed another time."""
    if isinstance(error, TickrecError):
        return error.status in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}
    return isinstance(error, httpx.TransportError)


def _took_nothing(error: BaseException) -> bool:
    """Whether a write that failed surely changed nothing: only then it may be sent again."""
    if isinstance(error, TickrecError):
        return error.kind in {"rate-limited", "overloaded"}
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)


def _retry_after_s(error: BaseException) -> float:
    return error.retry_after_s if isinstance(error, TickrecError) else 0


# As long as the API says, and a random while more, so that clients do not all come back at once.
PAUSE: Final = tenacity.wait_exception(_retry_after_s) + tenacity.wait_random_exponential(0.1, 2)
READS: Final = tenacity.Retrying(
    retry=tenacity.retry_if_exception(_may_pass),
    wait=PAUSE,
    stop=tenacity.stop_after_delay(GIVE_UP_AFTER_S),
    reraise=True,
)
WRITES: Final = READS.copy(retry=tenacity.retry_if_exception(_took_nothing))


def main(url: str, api_key: str = "") -> None:
    """Ask about instrument 4 whatever there is to ask, and print the answers."""
    with Tickrec(url, api_key) as tickrec:
        _show("bars", tickrec.bars(4, limit=2))
        trade = {"type": "interaction", "user_id": "ABC", "instrument_id": 4, "event": "trade"}
        _show("published", tickrec.publish([{**trade, "ts": time.time_ns() // 1_000_000}]))
        for name, data in islice(tickrec.live([4]), 4):
            _show(name, data)
        found = tickrec.recommendations("ABC", n=3)
        _show("recommended", found)
        _show("published", tickrec.feedback(_shown_and_first_clicked(found)))


def _show(what: str, answer: object) -> None:
    print(f"{what:12} {json.dumps(answer)}")


def _shown_and_first_clicked(found: Recommendations) -> list[Mapping[str, Any]]:
    about = {"request_id": found["request_id"], "user_id": found["user_id"]}
    seen = [
        {"type": "impression", "instrument_id": item["instrument_id"], "position": n, **about}
        for n, item in enumerate(found["items"], start=1)
    ]
    return [*seen, {**seen[0], "type": "click"}]


if __name__ == "__main__":
    main(*sys.argv[1:])
