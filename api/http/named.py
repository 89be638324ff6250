"""The names of instruments in answers, next to their ids."""

from typing import Final, TypeVar

import msgspec

from api.http.ids import AnsweredId
from api.http.parameters import Parameter, flag


class Identified(msgspec.Struct, frozen=True, gc=False):
    """An instrument, by its id."""

    instrument_id: AnsweredId


class Named(Identified, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """An instrument in an answer: its fields come first, and then its names."""

    symbol: str | None = None
    """absent if the catalog does not have the instrument"""
    name: str | None = None
    """only with `names=true`; absent if the catalog does not have the instrument"""


N = TypeVar("N", bound=Named)

NAMES: Final[Parameter] = flag("names", "also the name of each instrument, next to its symbol")
