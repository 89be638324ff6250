"""Instruments in bodies: by id, as a number or as a string of digits, or by symbol."""

from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from msgspec import Meta

from api.http.parsing import Resolve, instrument_named
from contracts.instruments import MAX_SYMBOL, SYMBOL_PATTERN
from contracts.messages import InstrumentId

SentInstrument = (
    InstrumentId
    | Annotated[
        str, Meta(min_length=1, max_length=MAX_SYMBOL, pattern=rf"^{SYMBOL_PATTERN}+$(?!\n)")
    ]
)
"""An instrument as a client names it."""

FIELD: Final = "instrument_id"

T = TypeVar("T", bound=msgspec.Struct)


def no_symbols(symbol: str) -> None:
    """Resolve no symbol: for bodies that have ids alone."""


def as_sent(kind: type[T], **config: Any) -> type[T]:
    """Return a struct as clients send it: its `instrument_id` is a `SentInstrument`.

    Args:
        kind: a struct with an `instrument_id`.
        config: of the struct, as for `msgspec.defstruct`.
    """
    sent = msgspec.defstruct(
        kind.__name__,
        [(FIELD, SentInstrument)],
        bases=(kind,),
        namespace={"__doc__": kind.__doc__},
        module="sent",
        frozen=True,
        kw_only=True,
        **config,
    )
    return cast("type[T]", sent)


def id_of(sent: int | str, resolve: Resolve) -> int:
    """Return the id of an instrument that a body names.

    >>> id_of(4, {}.get), id_of("007", {}.get), id_of("aapl", {"aapl": 4}.get)
    (4, 7, 4)

    Raises:
        ValueError: no instrument has this symbol, or an id is too large; the text names the field.
    """
    if isinstance(sent, int):
        return sent
    try:
        found = instrument_named(sent, resolve)
    except ValueError as error:
        raise ValueError(f"{FIELD} {error}, not {sent!r}") from None
    if found is None:
        raise ValueError(f"{FIELD} {sent!r} is the symbol of no instrument: send the id instead")
    return found
