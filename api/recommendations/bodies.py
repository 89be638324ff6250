"""Parses bodies that request recommendations. Pure."""

from collections import defaultdict
from collections.abc import Collection
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from api.http.bodies import decoded
from api.http.filters import CONDITION_IN, MAX_CONDITIONS, Check, checked, condition_schema
from api.http.instrument_refs import SentInstrument, id_of
from api.http.parameters import DEFAULT_ITEMS, MAX_EXCLUDED, MAX_OFFSET
from api.http.parsing import MAX_CATEGORIES_ASKED, Resolve
from api.http.problems import broken_rule
from api.recommendations.choosing import Repeats
from contracts.affinities import HistoryEntry
from contracts.instruments import Category
from contracts.messages import UserId, check_user_id

MAX_RECOMMENDATIONS: Final = 100
MAX_ITEMS: Final = 500
"""Of a session or a basket."""
MAX_USERS: Final = 100
"""Of a batch."""

_Categories = Annotated[Collection[Category], Meta(max_length=MAX_CATEGORIES_ASKED)]
_Condition = Annotated[str, Meta(extra_json_schema=condition_schema("filter"))]
_Boost = Annotated[str, Meta(extra_json_schema=condition_schema("boost"))]


class WeightedItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instrument and its weight, relative to the others."""

    instrument_id: SentInstrument
    weight: Annotated[float, Meta(gt=0, le=1e9)] = 1.0


class ListRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is requested of a list: the parameters for one user, and fields of both bodies."""

    n: Annotated[int, Meta(ge=1, le=MAX_RECOMMENDATIONS)] = DEFAULT_ITEMS
    offset: Annotated[int, Meta(ge=0, le=MAX_OFFSET)] = 0
    exclude: Annotated[Collection[SentInstrument], Meta(max_length=MAX_EXCLUDED)] = ()
    category: _Categories = ()
    exclude_category: _Categories = ()
    filter: Annotated[Collection[_Condition], Meta(max_length=MAX_CONDITIONS)] = ()
    boost: Annotated[Collection[_Boost], Meta(max_length=MAX_CONDITIONS)] = ()
    repeats: Repeats = "auto"
    diversity: Annotated[float, Meta(ge=0, le=1)] | None = None
    names: bool = False


class ForItems(ListRequest, frozen=True, kw_only=True):
    """A request for instruments, given some others, the most recent first."""

    items: Annotated[list[WeightedItem], Meta(min_length=1, max_length=MAX_ITEMS)]


class ForUsers(ListRequest, frozen=True, kw_only=True):
    """A request for instruments for each of some users."""

    user_ids: Annotated[list[UserId], Meta(min_length=1, max_length=MAX_USERS)]


R = TypeVar("R", bound=ListRequest)

_for_items: Final = msgspec.json.Decoder(ForItems)
_for_users: Final = msgspec.json.Decoder(ForUsers)


def parse_for_items(body: bytes, resolve: Resolve, check: Check) -> ForItems:
    """Parse a request for a set of instruments; those that it names are ids in the result.

    Raises:
        Problem: the body is not JSON, or invalid, or names an unknown symbol or attribute.
    """
    asked = _parsed(_for_items, body, resolve, check)
    items = [
        replace(one, instrument_id=_id_of(one.instrument_id, resolve, f"items[{i}].instrument_id"))
        for i, one in enumerate(asked.items)
    ]
    return replace(asked, items=items)


def parse_for_users(body: bytes, resolve: Resolve, check: Check) -> ForUsers:
    """Parse a request for several users; as `parse_for_items`."""
    asked = _parsed(_for_users, body, resolve, check)
    for index, user_id in enumerate(asked.user_ids):
        try:
            check_user_id(user_id)
        except ValueError as error:
            raise broken_rule(f"user_ids[{index}]", str(error)) from error
    return asked


def _parsed(decoder: msgspec.json.Decoder[R], body: bytes, resolve: Resolve, check: Check) -> R:
    """Return a request whose conditions are checked, and whose excluded instruments are ids."""
    asked = decoded(decoder, body)
    for name in CONDITION_IN:
        for index, text in enumerate(getattr(asked, name)):
            try:
                checked(name, text, check)
            except ValueError as error:
                reason = f"{error}, not {text!r:.100}"
                raise broken_rule(f"{name}[{index}]", reason) from error
    excluded = [_id_of(one, resolve, f"exclude[{i}]") for i, one in enumerate(asked.exclude)]
    return replace(asked, exclude=excluded)


def _id_of(sent: SentInstrument, resolve: Resolve, field: str) -> int:
    try:
        return id_of(sent, resolve)
    except ValueError as error:
        raise broken_rule(field, str(error)) from error


def history_of_items(items: list[WeightedItem]) -> dict[int, HistoryEntry]:
    """Return the history that items represent, given with the most recent first.

    The weights of duplicates are added. Times only encode the order: a millisecond apart, they
    have the same age for a generation in which older items count less.

    >>> found = history_of_items([WeightedItem(4, 2), WeightedItem(7), WeightedItem(4)])
    >>> {item: (entry.r, entry.t) for item, entry in found.items()}
    {4: (3.0, 0), 7: (1.0, -1)}
    """
    weights: dict[int, float] = defaultdict(float)
    for item in items:
        weights[int(item.instrument_id)] += item.weight
    return {item: HistoryEntry(r, -place) for place, (item, r) in enumerate(weights.items())}
