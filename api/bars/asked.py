"""The instruments that a request about several of them names."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from api.http.parameters import Parameter
from api.http.parsing import Resolve, instrument_named, listed_texts
from api.http.schemas import instruments_schema
from contracts.instruments import MAX_SYMBOL, SYMBOL_PATTERN

_SYMBOL: Final = re.compile(rf"{SYMBOL_PATTERN}{{1,{MAX_SYMBOL}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """Instruments by ids and symbols."""

    names: dict[int, str]
    """of each, in the order of ids: what it is called in the request, where it comes first"""
    unknown: list[str]
    """symbols that no instrument has"""

    def without(self, ids: Collection[int]) -> list[str]:
        """Return what is unknown, with the instruments that are not among `ids`."""
        return [*self.unknown, *(name for i, name in self.names.items() if i not in ids)]


def asked_parameter(resolve: Resolve, most: int, description: str) -> Parameter:
    """Return the parameter `instruments`: 1 to `most` ids and symbols, which may be unknown."""
    return Parameter(
        "instruments",
        lambda text: _asked(listed_texts(text, 1, most), resolve),
        instruments_schema(1, most),
        f"{description}: ids or symbols, comma-separated",
    )


def _asked(texts: list[str], resolve: Resolve) -> Asked:
    for text in texts:
        if not _SYMBOL.fullmatch(text):
            raise ValueError(f"{text!r:.60} can be neither an id nor a symbol")
    ids = {text: instrument_named(text, resolve) for text in texts}
    names = {i: text for text, i in reversed(ids.items()) if i is not None}
    return Asked(dict(sorted(names.items())), [text for text, i in ids.items() if i is None])
