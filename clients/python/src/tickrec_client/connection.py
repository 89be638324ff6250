"""Requests to one API: a pool of connections, the key, timeouts, retries and ETags.

What is sent again, for `GIVE_UP_AFTER_S`, waiting as long as the API says:

- reads, PUT and DELETE, after any 429 or 503 and after a connection that broke;
- other writes only if nothing of them was taken: what Kafka may have would count twice.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import tenacity

from .problems import TickrecError, may_pass, retry_after_s, took_nothing

TIMEOUT: Final = httpx.Timeout(8, connect=1)
"""A write waits for Kafka, 5 s at most."""
POOL: Final = httpx.Limits(max_connections=100, keepalive_expiry=4)
"""Shorter than the 5 s after which the API closes a connection that is not used."""
LISTENING: Final = httpx.Timeout(60, connect=1)
"""A stream says something every 15 s, if only that it lives."""
GIVE_UP_AFTER_S: Final = 30
KEPT_ANSWERS: Final = 1000

T = TypeVar("T")


class Page(Protocol):
    """An answer that may have a next one."""

    @property
    def next_page_token(self) -> str | None:
        """What asks for the next page; None if this is the last one."""


P = TypeVar("P", bound=Page)


def pages(page_after: Callable[[str | None], P]) -> Iterator[P]:
    """Yield all pages; `page_after` asks for the one that a token names, None for the first."""
    page = page_after(None)
    yield page
    while page.next_page_token is not None:
        page = page_after(page.next_page_token)
        yield page


def path(template: str, *names: int | str) -> str:
    """Return a path with names in its places.

    >>> path("/v1/users/{}/history", "Ada/Love lace?"), path("/v1/users/{}", "..")
    ('/v1/users/Ada%2FLove%20lace%3F/history', '/v1/users/%2E%2E')
    """
    # httpx takes a plain `..` for a step up.
    return template.format(*(quote(str(name), safe="").replace(".", "%2E") for name in names))


class Connection:
    """Sends requests, and decodes answers; every method raises TickrecError and httpx's errors."""

    def __init__(self, url: str, api_key: str) -> None:
        headers = {"X-API-Key": api_key} if api_key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, limits=POOL)
        self._kept: dict[httpx.URL, httpx.Response] = {}

    def get(self, kind: type[T], path: str, query: Mapping[str, Any] | None = None) -> T:
        """Read, and let the API say 304 if its answer is the one that is kept here."""
        request = self._http.build_request("GET", path, params=_texts(query or {}))
        kept = self._kept.get(request.url)
        if kept is not None:
            request.headers["If-None-Match"] = kept.headers["ETag"]
        answer = _AGAIN(self._send, request)
        if kept is not None and answer.status_code == httpx.codes.NOT_MODIFIED:
            answer = kept
        elif "ETag" in answer.headers:
            self._keep(request.url, answer)
        return msgspec.json.decode(answer.content, type=kind)

    def ask(self, kind: type[T], path: str, body: object) -> T:
        """Read by a POST, whose body says what."""
        return self._change(_AGAIN, kind, "POST", path, body)

    def put(self, kind: type[T], path: str, body: object) -> T:
        """Replace something as a whole."""
        return self._change(_AGAIN, kind, "PUT", path, body)

    def delete(self, kind: type[T], path: str) -> T:
        """End something."""
        return self._change(_AGAIN, kind, "DELETE", path, None)

    def post(self, kind: type[T], path: str, body: object) -> T:
        """Write what must not happen twice."""
        return self._change(_ONCE, kind, "POST", path, body)

    def lines(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Iterator[str]:
        """Yield the lines of an answer as they come, for as long as they do."""
        with self._http.stream(
            "GET", path, params=_texts(query), headers=headers, timeout=LISTENING
        ) as answer:
            if answer.is_error:
                answer.read()
                raise TickrecError(answer)
            yield from answer.iter_lines()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _change(
        self, retrying: tenacity.Retrying, kind: type[T], method: str, path: str, body: object
    ) -> T:
        sent: dict[str, Any] = {}
        if body is not None:
            sent["content"] = msgspec.json.encode(body)
            sent["headers"] = {"Content-Type": "application/json"}
        request = self._http.build_request(method, path, **sent)
        return msgspec.json.decode(retrying(self._send, request).content, type=kind)

    def _send(self, request: httpx.Request) -> httpx.Response:
        answer = self._http.send(request)
        if answer.is_error:
            raise TickrecError(answer)
        return answer

    def _keep(self, url: httpx.URL, answer: httpx.Response) -> None:
        if len(self._kept) >= KEPT_ANSWERS:
            self._kept.clear()
        self._kept[url] = answer


def given(**values: Any) -> dict[str, Any]:
    """Return the arguments that are not None.

    >>> given(n=3, listed=None)
    {'n': 3}
    """
    return {name: value for name, value in values.items() if value is not None}


def _texts(query: Mapping[str, Any]) -> dict[str, str | int | bool]:
    """Return a query with commas between the values of a sequence.

    >>> _texts({"instruments": [4, "GELA"], "n": 3})
    {'instruments': '4,GELA', 'n': 3}
    """
    return {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else value
        for name, value in query.items()
    }


# As long as the API says, and a random while more, so that clients do not all come back at once.
_AGAIN: Final = tenacity.Retrying(
    retry=tenacity.retry_if_exception(may_pass),
    wait=tenacity.wait_exception(retry_after_s) + tenacity.wait_random_exponential(0.1, 2),
    stop=tenacity.stop_after_delay(GIVE_UP_AFTER_S),
    reraise=True,
)
_ONCE: Final = _AGAIN.copy(retry=tenacity.retry_if_exception(took_nothing))
