"""Checks that hold for every answer. Pure: an answer in, complaints out."""

from typing import Final

import msgspec

from api.http import problems
from api.http.answer_headers import SECURITY_HEADERS
from api.http.problems import TYPE_PREFIX, ProblemType
from tests.fuzz.request import CANARY, KEY, KNOWN, Request
from tests.fuzz.wire import Answer

_OURS: Final = {
    kind.uri: kind.status for kind in vars(problems).values() if isinstance(kind, ProblemType)
}
_FRAMEWORK: Final = {TYPE_PREFIX + "not-found": 404, TYPE_PREFIX + "method-not-allowed": 405}
TYPES: Final = _OURS | _FRAMEWORK
"""Every `type` of a problem that clients may meet, and its status."""
_NEEDED: Final = {
    304: b"etag",
    401: b"www-authenticate",
    405: b"allow",
    429: b"retry-after",
    503: b"retry-after",
}
_SECRET: Final = (CANARY, KEY)
_REQUEST_ID: Final = b"x-request-id"
NO_HTTP: Final = problems.INVALID_HTTP.uri.encode()
KNOWN_BODY: Final = b'{"status":"alive"}'


class _Problem(msgspec.Struct):
    type: str
    title: str
    status: int
    detail: str
    instance: str


def complaints(request: Request | None, answer: Answer) -> list[str]:
    """Return what is wrong with an answer to a request, or to malformed bytes."""
    found = [*_of_headers(answer), *_of_body(answer)]
    if request is not None and answer.status == 400 and NO_HTTP in answer.body:
        found.append("a request is taken for none")
    if request is KNOWN and answer.body != KNOWN_BODY:
        found.append(f"is not what {KNOWN.target!r} answers: framing or order is lost")
    if answer.status >= 500 and answer.status != 503:
        found.append(f"status {answer.status}")
    if not 200 <= answer.status < 400:
        found += _of_problem(answer)
    return found


def _of_headers(answer: Answer) -> list[str]:
    found = [
        f"what the client sent stands in the header {name!r}"
        for name, value in answer.headers
        if any(secret in (name + value).lower() for secret in _SECRET)
        and (name, value) != (_REQUEST_ID, CANARY)  # the client's, as sent
    ]
    found += [] if answer.header(_REQUEST_ID) else ["the request has no id"]
    found += [
        f"the header {name!r} is not {value!r} but {answer.header(name)!r}"
        for name, value in SECURITY_HEADERS
        if answer.header(name) != value and name != b"content-security-policy"
    ]
    needed = _NEEDED.get(answer.status)
    if needed and answer.header(needed) is None:
        found.append(f"{answer.status} without the header {needed!r}")
    if answer.header(b"server") is not None:
        found.append("names its server")
    return found


def _of_body(answer: Answer) -> list[str]:
    found = []
    if b"Traceback" in answer.body or b"site-packages" in answer.body:
        found.append("reveals the code")
    if answer.body and b"json" in (answer.header(b"content-type") or b""):
        try:
            msgspec.json.decode(answer.body)
        except msgspec.DecodeError as error:
            found.append(f"is not JSON: {error}")
    return found


def _of_problem(answer: Answer) -> list[str]:
    if answer.header(b"content-type") != problems.MEDIA_TYPE.encode():
        return [f"{answer.status} as {answer.header(b'content-type')!r}, not as a problem"]
    if not answer.body:  # to HEAD
        return []
    try:
        problem = msgspec.json.decode(answer.body, type=_Problem)
    except msgspec.DecodeError as error:
        return [f"no problem: {error}"]
    found = []
    if problem.status != answer.status:
        found.append(f"status {answer.status}, but {problem.status} in the problem")
    if TYPES.get(problem.type) != answer.status:
        found.append(f"{answer.status} with the type {problem.type!r}")
    return found
