"""Page tokens: where a list of instruments continues. Pure."""

import base64
import re
from collections.abc import Sequence
from typing import Final

from api.instruments.directory import Entry

_PLACE: Final = re.compile(r"\S+ [0-9]{19}", re.ASCII)


def token_after(found: Sequence[Entry], n: int) -> str | None:
    """Return the token of the page after the first `n` instruments; None if there is none."""
    if len(found) <= n:
        return None
    return base64.urlsafe_b64encode(found[n - 1].place.encode()).decode().rstrip("=")


def parse_page_token(text: str) -> str | None:
    """Return where a page begins, None for the first one, whose token is empty.

    >>> parse_page_token("YWFwbCAwMDAwMDAwMDAwMDAwMDAwMDA0")
    'aapl 0000000000000000004'

    Raises:
        ValueError: it is not a token.
    """
    if not text:
        return None
    padding = "=" * (-len(text) % 4)
    try:
        place = base64.b64decode(text + padding, "-_", validate=True).decode()
    except ValueError:
        place = ""
    if not _PLACE.fullmatch(place):
        raise ValueError("must be the next_page_token of the previous page")
    return place
