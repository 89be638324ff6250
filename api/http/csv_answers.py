"""Answers as CSV, for clients that name it in `Accept`.

CSV is made of the JSON answer, off the event loop, so reads and the hot path know nothing of it.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from api.http.replies import JSON, Reply, etag, fields, fields_in

ANSWER: Final = "Tickrec-Answer"
"""The header with what the rows have no place for, as JSON."""
MAX_HEADER_BYTES: Final = 4096
"""Of its value: a proxy takes a server whose headers exceed its limit, 8 kB in nginx, for dead."""
BY_ACCEPT: Final = b"vary: Accept\r\n"
"""A header of answers that CSV can be made of."""
CSV: Final = "text/csv"
_WEIGHT: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
"""RFC 9110, section 12.4.2."""

ToCsv = Callable[[bytes], tuple[bytes, bytes]]
"""Returns the rows of a JSON answer, and its other members as JSON; runs in a thread."""


def names_csv(accept: Iterable[bytes]) -> bool:
    """Return whether the values of `Accept` may name CSV, so that a request is not hot."""
    return any(CSV.encode() in value.lower() for value in accept)


def prefers_csv(accept: Sequence[str]) -> bool:
    """Return whether a client prefers CSV to JSON. Only what it names counts, no `*`.

    Args:
        accept: the values of `Accept` (RFC 9110, section 12.5.1).
    """
    wanted = weights(",".join(accept))
    named, others = wanted.get(JSON.decode(), 0.0), wanted.get("application/*", wanted.get("*/*"))
    weight = wanted.get(CSV, 0.0)
    return weight > named and weight >= (others or 0.0)


async def csv_answer(answer: Reply, to_csv: ToCsv) -> Reply:
    """Return an answer as CSV."""
    body, rest = await asyncio.to_thread(to_csv, answer.body)
    own = {
        b"content-length": b"%d" % len(body),
        b"content-type": CSV.encode(),
        b"etag": etag(body + rest),
    }
    headers = [(name, own.get(name, value)) for name, value in fields_in(answer.fields)]
    headers.append((ANSWER.lower().encode(), rest))
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
