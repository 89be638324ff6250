"""Forms of an answer other than JSON, for clients that name one in `Accept`.

A form is made of the JSON answer, off the event loop, so reads and the hot path know nothing of it.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from api.http.problems import Problem, ProblemType
from api.http.replies import JSON, Reply, etag, fields, fields_in

ANSWER: Final = "Tickrec-Answer"
"""The header with what a form has no place for, as JSON."""
BY_ACCEPT: Final = b"vary: Accept\r\n"
"""A header of answers that have forms."""
CSV: Final = "text/csv"
ARROW: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"
_NAMES: Final = tuple(name.encode() for name in (CSV, ARROW, PARQUET))
_WEIGHT: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
"""RFC 9110, section 12.4.2."""

NOT_ACCEPTABLE: Final = ProblemType("not-acceptable", "Format not available", 406)
FORMING: Final[dict[ProblemType, str]] = {
    NOT_ACCEPTABLE: f"{ARROW} needs pyarrow, which is not installed: install tickrec[archive], or "
    "accept text/csv or application/json"
}
"""The problem of answers that have forms, with an example of a detail."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form, and how it is made."""

    media_type: str
    member: str
    """of the answer, whose value it shows"""
    encode: Callable[[Any, bytes], bytes]
    """makes the body of an answer, given also the other members, as JSON; in a thread"""
    missing: str | None = None
    """the package that makes it, if it is not installed"""


def names_form(accept: Iterable[bytes]) -> bool:
    """Return whether the values of `Accept` may name a form, so that a request is not hot."""
    return any(name in value.lower() for value in accept for name in _NAMES)


def chosen(accept: Sequence[str], forms: Sequence[Form]) -> Form | None:
    """Return the form that a client prefers; None: JSON. Only what it names counts, no `*`.

    Args:
        accept: the values of `Accept` (RFC 9110, section 12.5.1).
        forms: those that there are.

    Raises:
        Problem: it accepts neither JSON nor any form that can be made here.
    """
    if not accept or not forms:
        return None
    wanted = weights(",".join(accept))
    named, others = wanted.get(JSON.decode()), wanted.get("application/*", wanted.get("*/*", 0.0))
    refused: Form | None = None
    for form in sorted(forms, key=lambda form: wanted.get(form.media_type, 0.0), reverse=True):
        weight = wanted.get(form.media_type, 0.0)
        if not weight or weight < others or weight <= (named or 0.0):
            break
        if form.missing is None:
            return form
        refused = form
    if refused is not None and not named and not others:
        raise Problem(
            NOT_ACCEPTABLE,
            f"{refused.media_type} needs {refused.missing}, which is not installed: install "
            "tickrec[archive], or accept text/csv or application/json",
        )
    return None


async def formed(answer: Reply, kind: Any, form: Form) -> Reply:
    """Return an answer in a form, given as the JSON of a `kind`."""
    return await asyncio.to_thread(_formed, answer, kind, form)


def _formed(answer: Reply, kind: Any, form: Form) -> Reply:
    rest = msgspec.json.decode(answer.body)
    del rest[form.member]
    shown = msgspec.json.encode(rest)
    # With `ids=string`, ids are strings in the answer.
    body = form.encode(msgspec.json.decode(answer.body, type=kind, strict=False), shown)
    own = {
        b"content-length": b"%d" % len(body),
        b"content-type": form.media_type.encode(),
        b"etag": etag(body + shown),
    }
    headers = [(name, own.get(name, value)) for name, value in fields_in(answer.fields)]
    headers.append((ANSWER.lower().encode(), shown))
    return msgspec.structs.replace(answer, fields=fields(headers), body=body)


def weights(accept: str) -> dict[str, float]:
    """Return the weight of each name in an `Accept` or `Accept-Encoding`; an invalid one is 0.

    >>> weights("text/csv;q=0.5, */*, text/plain;q=2")
    {'text/csv': 0.5, '*/*': 1.0, 'text/plain': 0.0}
    """
    found: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (text.strip().lower() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        found[name] = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    return found
