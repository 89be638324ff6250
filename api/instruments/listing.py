"""Reads of the catalog: each returns its complete answer; and the tokens of its pages."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec.structs import asdict

from api.bars.answers import LatestQuote
from api.http.filters import Filter
from api.http.parsing import content_of_token, page_token
from api.http.problems import UNKNOWN_INSTRUMENT, Problem
from api.http.replies import NOW, Reply, reply
from api.instruments.answers import (
    DescribedInstrument,
    Instruments,
    ListedInstrument,
)
from api.instruments.catalog import Catalog
from api.instruments.directory import Entry, Wanted
from api.redis.reading import Read

NewestQuotes = Callable[[Sequence[int]], Read[Mapping[int, LatestQuote]]]
"""Reads the newest quotes of instruments, of those that have any."""

_PLACE: Final = re.compile(r"\S+ [0-9]{19}", re.ASCII)


class InstrumentReader:
    """Reads the catalog of one namespace."""

    def __init__(self, catalog: Catalog, quotes: NewestQuotes) -> None:
        self._catalog = catalog
        self._quotes = quotes

    def listed(
        self,
        search: str,
        listed: bool | None,  # noqa: FBT001 (a parameter's value, given by name)
        n: int,
        page_token: str | None,
        **filters: frozenset[str],
    ) -> Read[Reply]:
        """Answer with instruments by symbol, from memory."""
        yield from ()
        wanted = Wanted(search, Filter(**filters), listed, page_token)
        found = self._catalog.directory.find(wanted, n + 1)
        items = [ListedInstrument(**asdict(entry)) for entry in found[:n]]
        return reply(Instruments(items, token_after(found, n)), NOW)

    def described(self, instrument: int) -> Read[Reply]:
        """Answer with an instrument and its newest quote; Problem if it is not in the catalog."""
        entry = self._catalog.directory.by_id.get(instrument)
        if entry is None:
            raise Problem(UNKNOWN_INSTRUMENT, f"Instrument {instrument} is not in the catalog")
        quotes = yield from self._quotes([instrument])
        return reply(DescribedInstrument(**asdict(entry), quote=quotes.get(instrument)), NOW)


def token_after(found: Sequence[Entry], n: int) -> str | None:
    """Return the token of the page after the first `n` instruments; None if there is none."""
    if len(found) <= n:
        return None
    return page_token(found[n - 1].place.encode())


def parse_page_token(text: str) -> str | None:
    """Return where a page begins, None for the first one, whose token is empty.

    >>> parse_page_token("YWFwbCAwMDAwMDAwMDAwMDAwMDAwMDA0")
    'aapl 0000000000000000004'

    Raises:
        ValueError: it is not a token.
    """
    if not text:
        return None
    try:
        place = content_of_token(text).decode()
    except ValueError:
        place = ""
    if not _PLACE.fullmatch(place):
        raise ValueError("must be the next_page_token of the previous page")
    return place
