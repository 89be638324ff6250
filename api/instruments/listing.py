"""Reads of the catalog: each returns its complete answer; and the tokens of its pages."""

import base64
import re
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import asdict

from api.http.problems import UNKNOWN_INSTRUMENT, Problem
from api.http.replies import NOW, Reply, reply
from api.instruments.answers import (
    DescribedInstrument,
    Instruments,
    LatestQuote,
    ListedInstrument,
)
from api.instruments.catalog import Catalog
from api.instruments.directory import Entry, Wanted
from api.redis.reading import Read
from api.redis.store import Store
from contracts.bars import BarValue
from contracts.keyspace import NEWEST_FIELD
from contracts.partitioning import instrument_partition

_bar: Final = msgspec.json.Decoder(BarValue)
_PLACE: Final = re.compile(r"\S+ [0-9]{19}", re.ASCII)


class InstrumentReader:
    """Reads the catalog of one namespace."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def listed(
        self,
        search: str,
        category: frozenset[str],
        listed: bool | None,  # noqa: FBT001 (a parameter's value, given by name)
        n: int,
        page_token: str | None,
    ) -> Read[Reply]:
        """Answer with instruments by symbol, from memory."""
        yield from ()
        wanted = Wanted(search, category, listed, page_token)
        found = self._catalog.directory.find(wanted, n + 1)
        items = [ListedInstrument(**asdict(entry)) for entry in found[:n]]
        return reply(Instruments(items, token_after(found, n)), NOW)

    def described(self, instrument: int) -> Read[Reply]:
        """Answer with an instrument and its newest quote; Problem if it is not in the catalog."""
        entry = self._catalog.directory.by_id.get(instrument)
        if entry is None:
            raise Problem(UNKNOWN_INSTRUMENT, f"Instrument {instrument} is not in the catalog")
        quote = yield from self._quote(instrument)
        return reply(DescribedInstrument(**asdict(entry), quote=quote), NOW)

    def _quote(self, instrument_id: int) -> Read[LatestQuote | None]:
        topology = yield from self._store.topology()
        partition = instrument_partition(instrument_id, topology.quotes)
        key = self._store.keys.bars(partition, instrument_id)
        (newest,) = yield [("HGET", key, NEWEST_FIELD)]
        if newest is None:
            return None
        (value,) = yield [("HGET", key, newest)]
        if value is None:  # expired in between
            return None
        bar = _bar.decode(value)
        return LatestQuote(bar.c, bar.ct)


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
