"""Parses texts from paths and queries; errors are a ValueError that says what the text must be."""

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from api.http.problems import UNKNOWN_INSTRUMENT, Problem
from contracts.instruments import MAX_SYMBOL, SYMBOL_PATTERN, Category
from contracts.messages import MAX_INSTRUMENT_ID, MAX_USER_ID_BYTES, user_id_rule_broken
from contracts.times import DAY_MS, MAX_TS_MS

MAX_CATEGORIES_ASKED: Final = 100
"""Per parameter."""

Resolve = Callable[[str], int | None]
"""Returns the id of the instrument with a symbol, None if there is none."""

_MAX_DIGITS: Final = len(str(MAX_INSTRUMENT_ID))
_CATEGORIES_KNOWN: Final = 128
"""Parameters in memory."""
_INSTRUMENT_RULE: Final = "must be an id or a symbol: letters, digits and . _ : / -"
_SYMBOL: Final = re.compile(rf"{SYMBOL_PATTERN}{{1,{MAX_SYMBOL}}}", re.ASCII)
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def is_instrument(text: str) -> bool:
    """Return whether a text is an instrument id: all ASCII digits.

    >>> is_instrument("4"), is_instrument("ABC"), is_instrument("٤")
    (True, False, False)
    """
    return text.isascii() and text.isdigit()


def parse_instrument_id(text: str) -> int:
    """Return an instrument's id.

    Raises:
        ValueError: `text` is not one.
    """
    if (
        is_instrument(text)
        and len(text) <= _MAX_DIGITS
        and (number := int(text)) <= MAX_INSTRUMENT_ID
    ):
        return number
    raise ValueError(f"must be a whole number from 0 to {MAX_INSTRUMENT_ID}")


def parse_user_id(text: str) -> str:
    """Return a user's id, which is `text`.

    Raises:
        ValueError: it is empty, too long or not UTF-8, or cannot appear in a path.
    """
    broken = user_id_rule_broken(text)
    if text and broken is None:
        return text
    if "\ufffd" in text:  # it replaces bytes that could not be decoded
        raise ValueError("must be UTF-8, percent-encoded, without U+FFFD")
    size = len(text.encode())
    if not 1 <= size <= MAX_USER_ID_BYTES:
        raise ValueError(f"must have 1 to {MAX_USER_ID_BYTES} bytes of UTF-8, got {size}")
    raise ValueError("must not contain U+0000, or `.` or `..` as a path segment")


def parse_time(text: str) -> int:
    """Return a point in time in epoch ms, given as such or as RFC 3339; it is truncated to 1 ms.

    >>> parse_time("1629061628123"), parse_time("2021-08-15T23:07:08.123+02:00")
    (1629061628123, 1629061628123)

    Raises:
        ValueError: it is neither, or before 1970 or after 9999.
    """
    if text.isascii() and text.isdigit():
        ms = int(text) if len(text) < len(str(MAX_TS_MS)) + 1 else MAX_TS_MS + 1
    else:
        ms = _rfc3339_ms(text)
    if not 0 <= ms <= MAX_TS_MS:
        raise ValueError(f"must be from 0 to {MAX_TS_MS} epoch ms (the years 1970 to 9999)")
    return ms


def instrument_named(text: str, resolve: Resolve) -> int | None:
    """Return the id of the instrument that a text names, by id or by symbol.

    >>> instrument_named("007", {"aapl": 4}.get), instrument_named("aapl", {"aapl": 4}.get)
    (7, 4)

    Returns:
        None if it is not an id, and no instrument has this symbol.

    Raises:
        ValueError: it is all digits, but too large for an id.
    """
    return parse_instrument_id(text) if is_instrument(text) else resolve(text)


def parse_instrument(text: str, resolve: Resolve) -> int:
    """Return the id of the instrument that a text names.

    Raises:
        Problem: no instrument has this symbol.
        ValueError: as `instrument_named`, or it cannot be a symbol.
    """
    found = instrument_named(text, resolve)
    if found is None:
        if not _SYMBOL.fullmatch(text):
            raise ValueError(_INSTRUMENT_RULE)
        raise Problem(UNKNOWN_INSTRUMENT, f"No instrument has the symbol {text!r:.100}")
    return found


def listed_texts(text: str, least: int, most: int) -> list[str]:
    """Return the parts of a comma-separated list of instruments; empty ones are left out.

    Raises:
        ValueError: there are too few or too many.
    """
    parts = [part for each in text.split(",") if (part := each.strip())]
    if not least <= len(parts) <= most:
        raise ValueError(f"must name {least} to {most} instruments, got {len(parts)}")
    return parts


def instruments_named(text: str, least: int, most: int, resolve: Resolve) -> dict[str, int | None]:
    """Return the instruments of a comma-separated list of ids and symbols, keyed by these.

    >>> instruments_named("4,aapl,XYZ,", 1, 3, {"aapl": 5}.get)
    {'4': 4, 'aapl': 5, 'XYZ': None}

    Returns:
        None for a symbol that no instrument has.

    Raises:
        ValueError: there are too few or too many, or one, its second argument, is invalid.
    """
    texts = listed_texts(text, least, most)
    for one in texts:
        if not _SYMBOL.fullmatch(one):
            raise ValueError(_INSTRUMENT_RULE, one)
    return {one: instrument_named(one, resolve) for one in texts}


def page_token(content: bytes) -> str:
    """Return the token of a page, for a query.

    >>> page_token(b"[4,60000]"), content_of_token("WzQsNjAwMDBd")
    ('WzQsNjAwMDBd', b'[4,60000]')
    """
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def content_of_token(text: str) -> bytes:
    """Return the content of a page's token; ValueError if it is not one."""
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    return base64.b64decode(padded, b"-_", validate=True)


@lru_cache(_CATEGORIES_KNOWN)
def parse_categories(text: str) -> frozenset[str]:
    """Return the categories of a comma-separated list, ignoring empty parts.

    >>> sorted(parse_categories("tech, energy,"))
    ['energy', 'tech']

    Raises:
        ValueError: one is not a valid category name, or there are too many.
    """
    names = [name for each in text.split(",") if (name := each.strip())]
    if len(names) > MAX_CATEGORIES_ASKED:
        raise ValueError(f"must name at most {MAX_CATEGORIES_ASKED} categories, got {len(names)}")
    try:
        return msgspec.convert(names, frozenset[Category])
    except msgspec.ValidationError:
        raise ValueError(
            "must name categories of 1 to 64 letters, digits and . _ - without accents"
        ) from None


def _rfc3339_ms(text: str) -> int:
    remedy = "must be epoch milliseconds or RFC 3339, like 2021-08-15T21:07:08Z"
    # A "+" that a client did not encode arrives as a space.
    text = text.upper().replace(" ", "+")
    if not _RFC_3339.fullmatch(text):
        raise ValueError(remedy)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:  # the 30th of February
        raise ValueError(f"{remedy}: {error}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{remedy}: its offset from UTC is missing")
    since = moment - _EPOCH
    return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000
