"""The instruments named in a request for several of them."""

from collections.abc import Collection
from dataclasses import dataclass

from api.http.parameters import Parameter, instruments_schema
from api.http.parsing import Resolve, instruments_named


@dataclass(frozen=True, slots=True)
class RequestedInstruments:
    """Instruments by ids and symbols."""

    names: dict[int, str]
    """id -> its first name in the request, in the order of ids"""
    unknown: list[str]
    """symbols that no instrument has"""

    def without(self, ids: Collection[int]) -> list[str]:
        """Return the unknown names, with those of instruments that are not among `ids`."""
        return [*self.unknown, *(name for i, name in self.names.items() if i not in ids)]


def instruments_parameter(resolve: Resolve, most: int, description: str) -> Parameter:
    """Return the parameter `instruments`: 1 to `most` ids and symbols, which may be unknown."""
    return Parameter(
        "instruments",
        lambda text: _requested(instruments_named(text, 1, most, resolve)),
        instruments_schema(1, most),
        f"{description}: ids or symbols, comma-separated",
    )


def _requested(ids: dict[str, int | None]) -> RequestedInstruments:
    names = {i: text for text, i in reversed(ids.items()) if i is not None}
    return RequestedInstruments(
        dict(sorted(names.items())), [text for text, i in ids.items() if i is None]
    )
