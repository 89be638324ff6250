"""Sends a request to an API, and checks the response."""

import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx

from infra.local.plausible import Check, ImplausibleError

NDJSON: Final = "application/x-ndjson"
_TIMEOUT_S: Final = 3
_SAID: Final = 300
"""characters of a response that an error quotes"""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and the expected response."""

    path: str
    check: Check
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    body: Any = None
    """sent as JSON, if any"""
    media_type: str = "application/json"
    """or `NDJSON`: each item of the body in a line"""
    status: int = 200
    until: str | None = None
    """for an endless response: the first line of the last event to wait for"""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def curl(self, api_url: str) -> str:
        """Return the equivalent curl command."""
        words = ["curl", *(["-N"] if self.until else []), shlex.quote(f"{api_url}{self.path}")]
        implied = "GET" if self.body is None else "POST"
        if self.method != implied:
            words[1:1] = ["-X", self.method]
        if self.media_type == NDJSON:
            words += ["-H", f"'Content-Type: {NDJSON}'"]
            words += ["--data-binary", shlex.quote(self.content().decode())]
        elif self.body is not None:
            words += ["--json", shlex.quote(self.content().decode())]
        return " ".join(words)

    def content(self) -> bytes:
        """Return the body as it is sent."""
        lines = self.body if self.media_type == NDJSON else [self.body]
        return "\n".join(map(json.dumps, lines)).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and what is wrong with it."""

    question: Question
    status: int | None
    body: Any
    problem: str | None


Ask = Callable[[Question], Answer]
"""Sends the request of a question once."""


def connect_api(api_url: str) -> httpx.Client:
    """Return a client of the API."""
    return httpx.Client(base_url=api_url, timeout=_TIMEOUT_S)


def ask(client: httpx.Client, question: Question) -> Answer:
    """Send the request once."""
    sent: dict[str, Any] = {}
    if question.body is not None:
        sent = {"content": question.content(), "headers": {"Content-Type": question.media_type}}
    try:
        with client.stream(question.method, question.path, **sent) as response:
            body = _read(response, question.until)
    except httpx.HTTPError as error:
        return Answer(question, None, None, f"no answer: {error}")
    status = response.status_code
    return Answer(question, status, body, problem(question, status, body))


def problem(question: Question, status: int, body: Any) -> str | None:
    """Return what is wrong with a response, None if nothing is."""
    said = body if isinstance(body, str) else json.dumps(body)
    if status != question.status:
        return f"status {status} instead of {question.status}: {said[:_SAID]}"
    try:
        question.check(body)
    except ImplausibleError as implausible:
        return str(implausible)
    except (AttributeError, IndexError, KeyError, TypeError) as missing:
        return f"not of the documented shape, {missing!r}: {said[:_SAID]}"
    return None


def _read(response: httpx.Response, until: str | None) -> Any:
    if until is not None and response.is_success:
        return "\n".join(_lines_of_events(response.iter_lines(), until))
    response.read()
    try:
        return response.json()
    except ValueError:
        return response.text


def _lines_of_events(lines: Iterable[str], until: str) -> Iterator[str]:
    """Yield lines up to the end of the event that begins with `until`."""
    is_last = False
    for line in lines:
        yield line
        is_last = is_last or line == until
        if is_last and not line:
            return
