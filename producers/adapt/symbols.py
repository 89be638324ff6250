"""The symbols of the catalog. Pure."""

from contracts.instruments import Instrument


class Symbols:
    """Which instrument has a symbol, ignoring case.

    If several have it, a listed one comes before one that is not, and then the lesser id, as where
    the API takes a symbol.

    >>> symbols = Symbols()
    >>> symbols.put(7, Instrument(7, symbol="ABC", name="old", listed=False))
    >>> symbols.put(9, Instrument(9, symbol="abc", name="new"))
    >>> symbols.find("Abc")
    9
    >>> symbols.put(9, None)
    >>> symbols.find("ABC")
    7
    """

    def __init__(self) -> None:
        self._entry: dict[int, tuple[str, bool]] = {}
        """id -> symbol, case folded, and whether it is listed"""
        self._ids: dict[str, set[int]] = {}
        self._found: dict[str, int] = {}
        """what was asked for, as it was written -> id"""

    def put(self, instrument_id: int, instrument: Instrument | None) -> None:
        """Take the newest record of an instrument; None removes it."""
        before = self._entry.pop(instrument_id, None)
        if before is not None:
            self._ids[before[0]].discard(instrument_id)
        if instrument is not None:
            symbol = instrument.symbol.casefold()
            self._entry[instrument_id] = symbol, instrument.listed
            self._ids.setdefault(symbol, set()).add(instrument_id)
        self._found.clear()

    def find(self, symbol: str) -> int | None:
        """Return the id of the instrument with a symbol, None if there is none."""
        found = self._found.get(symbol)
        if found is None:
            ids = self._ids.get(symbol.casefold())
            if not ids:
                return None
            found = min(ids, key=lambda each: (not self._entry[each][1], each))
            self._found[symbol] = found
        return found
