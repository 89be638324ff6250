"""Tokens of pages: where a list of instruments goes on. Pure."""

import base64
import re
from collections.abc import Sequence
from typing import Final

from api.instruments.directory import Entry

_PLACE: Final = re.compile(r"\S+ [0-9]{19}", re.ASCII)


def token_after(found: Sequence[Entry], n: int) -> str | None:
    """Return the token of what follows the first `n` instruments; None if nothing does."""
    if len(found) <= n:
        return None
    return base64.urlsafe_b64encode(found[n - 1].place.encode()).decode().rstrip("=")


def parse_page_token(text: str) -> str | None:
    """Return where a page begins, None for the first one, whose token is empty.

    >>> parse_page_token("YWFwbCAwMDAwMDAwMDAwMDAwMDAwMDA0")
    'aapl 0000000000000000004'

    Raises:
        ValueError: no page has such a token.
    """
    if not text:
        return None
    padding = "=" * (-len(text) % 4)
    try:
        place = base64.b64decode(text + padding, "-_", validate=True).decode()
    except ValueError:
        place = ""
    if not _PLACE.fullmatch(place):
        raise ValueError("must be the next_page_token of the page before")
    return place
