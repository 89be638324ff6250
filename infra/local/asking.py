"""Asks a running API, until it answers as it should."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import httpx

from infra.local.process import READY_WITHIN_S, NotReadyError
from infra.local.requests import Request, Subjects

ANSWERED_WITHIN_S: Final = 60
_TIMEOUT_S: Final = 3
_PAUSE_S: Final = 0.1
_SAID: Final = 300
"""characters of a response that an error quotes"""
T = TypeVar("T")

Pause = Callable[[float], None]
"""Lets so many seconds pass."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and what is wrong with it."""

    request: Request
    body: Any
    problem: str | None


def connect_api(api_url: str) -> httpx.Client:
    """Return a client of the API."""
    return httpx.Client(base_url=api_url, timeout=_TIMEOUT_S)


def ask(client: httpx.Client, request: Request) -> Answer:
    """Send a request once."""
    try:
        with client.stream(request.method, request.path, json=request.body) as response:
            body = _read(response, request.until)
    except httpx.HTTPError as error:
        return Answer(request, None, f"no answer: {error}")
    return Answer(request, body, problem(request, response.status_code, body))


def problem(request: Request, status: int, body: Any) -> str | None:
    """Return what is wrong with a response, None if nothing is."""
    said = body if isinstance(body, str) else json.dumps(body)
    if status != request.status:
        return f"status {status} instead of {request.status}: {said[:_SAID]}"
    if not request.filled:
        found = body
    elif isinstance(body, dict):
        found = body.get(request.filled)
    else:
        found = request.filled in body
    return None if found else f"no {request.filled or 'content'}: {said[:_SAID]}"


def await_subjects(
    pause: Pause, client: httpx.Client, logs: str, say: Callable[[str], None] = lambda _: None
) -> Subjects:
    """Return what to ask about, once there are quotes, events and a first generation.

    Args:
        pause: between two polls.
        client: of the API.
        logs: where they are, for the error.
        say: called with what was found: bars, then histories, then lists.

    Raises:
        NotReadyError: one of these is missing after `READY_WITHIN_S`.
    """
    for what, find in (("bars", _prices), ("histories", _users), ("lists", find_subjects)):
        found: Any = _patiently(pause, partial(find, client), bool, READY_WITHIN_S)
        if not found:
            raise NotReadyError(
                f"no {what} within {READY_WITHIN_S} s: see the logs of worker, trainer and api in "
                f"{logs}"
            )
        say(what)
    subjects: Subjects = found
    return subjects


def find_subjects(client: httpx.Client) -> Subjects | None:
    """Return what to ask about, None before the first generation."""
    for instrument, price in _prices(client):
        if not _get(client, f"/v1/instruments/{instrument}/similar?n=1").get("items"):
            continue
        for user in _users(client):
            said = _get(client, f"/v1/users/{user}/recommendations?n=1")
            if said.get("items"):
                first = said["items"][0]["instrument_id"]
                return Subjects(instrument, user, price, said["request_id"], first)
    return None


def _prices(client: httpx.Client) -> list[tuple[int, float]]:
    """Return the instruments with the most events that have bars, and their newest prices."""
    trending = [item["instrument_id"] for item in _get(client, "/v1/trending").get("items", ())]
    bars = [(one, _get(client, f"/v1/instruments/{one}/bars?limit=1")) for one in trending]
    return [(one, answer["bars"][0]["c"]) for one, answer in bars if answer.get("bars")]


def _users(client: httpx.Client) -> list[str]:
    """Return users with histories."""
    return list(_get(client, "/v1/users").get("user_ids", ()))


def _get(client: httpx.Client, path: str) -> dict[str, Any]:
    """Return an answer; nothing if there is no generation yet, or a program restarts."""
    try:
        answer: dict[str, Any] = client.get(path).raise_for_status().json()
    except httpx.HTTPError:
        return {}
    return answer


def answers(pause: Pause, client: httpx.Client, asked: Iterable[Request]) -> Iterator[Answer]:
    """Ask each request until its answer is right; yield that, or the last one in time."""
    for request in asked:
        yield _patiently(
            pause,
            lambda request=request: ask(client, request),  # type: ignore[misc]
            lambda answer: answer.problem is None,
            ANSWERED_WITHIN_S,
        )


def _patiently(
    pause: Pause, attempt: Callable[[], T], good: Callable[[T], bool], within_s: float
) -> T:
    deadline = time.monotonic() + within_s
    while not good(result := attempt()) and time.monotonic() < deadline:
        pause(_PAUSE_S)
    return result


def _read(response: httpx.Response, until: str | None) -> Any:
    if until is not None and response.is_success:
        lines = []
        for line in response.iter_lines():
            lines.append(line)
            if line == until:
                break
        return "\n".join(lines)
    response.read()
    try:
        return response.json()
    except ValueError:
        return response.text
