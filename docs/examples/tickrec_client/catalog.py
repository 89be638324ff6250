"""The catalog: descriptions of instruments. Changing them requires the scope `admin`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict, Unpack

import msgspec

from .bars import Quote
from .connection import Connection, pages, path


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The description of an instrument."""

    symbol: str
    name: str
    categories: Sequence[str] = ()
    listed: bool = True
    attributes: Mapping[str, bool | int | float | str] = {}


class Instrument(Description, frozen=True, kw_only=True):
    """An instrument of the catalog."""

    instrument_id: int


class QuotedInstrument(Instrument, frozen=True, kw_only=True):
    """An instrument and its newest quote, None if none is stored."""

    quote: Quote | None


class Instruments(msgspec.Struct, frozen=True):
    """Instruments by symbol."""

    items: list[Instrument]
    next_page_token: str | None


class Changed(msgspec.Struct, frozen=True):
    """The changed instrument."""

    instrument_id: int


class CatalogQuery(TypedDict, total=False):
    """Which instruments: those that meet all conditions."""

    search: str
    category: Sequence[str]
    listed: bool
    n: int


class Catalog:
    """Reads follow a change within a second or two."""

    def __init__(self, connection: Connection) -> None:
        self._api = connection

    def search(
        self, *, page_token: str | None = None, **query: Unpack[CatalogQuery]
    ) -> Instruments:
        """Return up to `n` instruments."""
        return self._api.get(Instruments, "/v1/instruments", {**query, "page_token": page_token})

    def pages(self, **query: Unpack[CatalogQuery]) -> Iterator[Instruments]:
        """Yield all instruments, up to `n` at a time."""
        return pages(lambda token: self.search(page_token=token, **query))

    def get(self, instrument: int | str) -> QuotedInstrument:
        """Return an instrument by id or symbol."""
        return self._api.get(QuotedInstrument, path("/v1/instruments/{}", instrument))

    def put(self, instrument_id: int, description: Description) -> Changed:
        """Add an instrument to the catalog, or replace its whole description."""
        return self._api.put(Changed, path("/v1/instruments/{}", instrument_id), description)

    def delete(self, instrument_id: int) -> Changed:
        """Remove an instrument from the catalog."""
        return self._api.delete(Changed, path("/v1/instruments/{}", instrument_id))
