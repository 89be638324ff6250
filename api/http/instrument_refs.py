"""How answers and bodies name instruments: by id, as a number or a string, and by symbol.

An id has up to 63 bits, and JavaScript rounds above 2^53. A field of an answer that is an
`AnsweredId` is all it takes: its endpoint gets the parameter `ids`, and its description says that
the field may be a string.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from msgspec import Meta
from msgspec import inspect as types
from starlette.responses import Response

from api.http.endpoint import ActionEndpoint, Endpoint, ReadEndpoint, Rewriting
from api.http.parameters import Parameter, Schema, flag, one_of
from api.http.parsing import Resolve, instrument_named
from api.http.reply import Reply, with_body
from contracts.instruments import MAX_SYMBOL, SYMBOL_PATTERN
from contracts.messages import MAX_INSTRUMENT_ID, InstrumentId

_NUMBER: Final = "number"
_EITHER: Final[Schema] = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": MAX_INSTRUMENT_ID},
        {"type": "string", "pattern": "^[0-9]{1,19}$"},
    ]
}
AnsweredId = Annotated[int, Meta(extra_json_schema=_EITHER)]
"""The id of an instrument in an answer."""

IDS: Final = one_of(
    "ids",
    (_NUMBER, "string"),
    _NUMBER,
    "string: ids of instruments as strings, for JavaScript, whose numbers are exact up to 2^53",
)

Path = tuple[str | None, ...]
"""The way to ids in an answer: names of fields; None stands for each element or value."""


def with_ids(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint with the parameter `ids`, if its answer has any."""
    kind = endpoint.success.kind
    paths = _paths_in(kind)
    if not paths:
        return endpoint
    parameters = (*endpoint.parameters, IDS)
    if isinstance(endpoint, ReadEndpoint):
        rewriting = Rewriting(IDS, partial(_with_strings, paths))
        return replace(endpoint, parameters=parameters, rewriting=rewriting)
    action = cast("ActionEndpoint", endpoint)
    return replace(action, parameters=parameters, act=_acting(action, paths))


def as_strings(body: bytes, paths: tuple[Path, ...]) -> bytes:
    """Return the body of an answer with the ids at these paths as strings.

    >>> as_strings(b'{"items":[{"id":4,"score":1.0}]}', (("items", None, "id"),))
    b'{"items":[{"id":"4","score":1.0}]}'
    """
    answer = msgspec.json.decode(body)
    for path in paths:
        answer = _as_strings(answer, path)
    return msgspec.json.encode(answer)


def either_form(schema: Any) -> Any:
    """Return a schema in which ids are numbers or strings; msgspec says that they are numbers."""
    if isinstance(schema, list):
        return [*map(either_form, schema)]
    if not isinstance(schema, dict):
        return schema
    of_id = schema.get("anyOf") == _EITHER["anyOf"]
    return {
        name: either_form(value) for name, value in schema.items() if not (of_id and name == "type")
    }


def _with_strings(paths: tuple[Path, ...], full: Reply) -> Reply:
    return with_body(full, as_strings(full.body, paths))


def _acting(endpoint: ActionEndpoint, paths: tuple[Path, ...]) -> Any:
    act = endpoint.act

    async def acting(*request_and_body: Any, ids: str, **values: Any) -> Response:
        response = await act(*request_and_body, **values)
        if ids == _NUMBER:
            return response
        response.body = as_strings(bytes(response.body), paths)
        response.headers["content-length"] = str(len(response.body))
        return response

    return acting


@cache
def _paths_in(kind: Any) -> tuple[Path, ...]:
    return () if kind is None else tuple(_paths(types.type_info(kind)))


def _paths(info: types.Type) -> Iterator[Path]:
    """Yield the ways to the ids in a type."""
    match info:
        case types.Metadata(extra_json_schema=schema) if schema == _EITHER:
            yield ()
        case types.Metadata(type=inner):
            yield from _paths(inner)
        case types.StructType(fields=fields):
            for field in fields:
                yield from ((field.encode_name, *rest) for rest in _paths(field.type))
        case types.UnionType(types=some):
            for one in some:
                yield from _paths(one)
        case types.ListType(item_type=item) | types.DictType(value_type=item):
            yield from ((None, *rest) for rest in _paths(item))


def _as_strings(value: Any, path: Path) -> Any:
    """Return a value, changed in place, with the ids at a path as strings."""
    if value is None:
        return None
    if not path:
        return str(value)
    name, *rest = path
    places = [name] if name is not None else value if isinstance(value, dict) else range(len(value))
    for place in places:
        value[place] = _as_strings(value[place], tuple(rest))
    return value


class InstrumentRef(msgspec.Struct, frozen=True, gc=False):
    """An instrument, by its id."""

    instrument_id: AnsweredId


class NamedInstrument(InstrumentRef, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """An instrument in an answer: its fields come first, and then its names."""

    symbol: str | None = None
    """absent if the catalog does not have the instrument"""
    name: str | None = None
    """only with `names=true`; absent if the catalog does not have the instrument"""


N = TypeVar("N", bound=NamedInstrument)

NAMES: Final[Parameter] = flag("names", "also the name of each instrument, next to its symbol")

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
        remedy = "publish it to `instruments` first, or send the id"
        raise ValueError(f"{FIELD} {sent!r} is the symbol of no instrument: {remedy}")
    return found
