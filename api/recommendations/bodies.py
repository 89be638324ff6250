"""Parses bodies that request recommendations. Pure."""

from collections import defaultdict
from collections.abc import Collection
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from api.http.bodies import decoded
from api.http.parameters import DEFAULT_ITEMS, MAX_EXCLUDED
from api.http.parsing import MAX_CATEGORIES_ASKED
from api.http.problems import broken_rule
from contracts.histories import HistoryEntry
from contracts.instruments import Category
from contracts.messages import InstrumentId, UserId, check_user_id

MAX_RECOMMENDATIONS: Final = 100
MAX_ITEMS: Final = 500
"""Of a session or a basket."""
MAX_USERS: Final = 100
"""Of a batch."""

_Categories = Annotated[Collection[Category], Meta(max_length=MAX_CATEGORIES_ASKED)]


class WeightedItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instrument and its weight, relative to the others."""

    instrument_id: InstrumentId
    weight: Annotated[float, Meta(gt=0, le=1e9)] = 1.0


class ListRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is requested of a list: the parameters for one user, and fields of both bodies."""

    n: Annotated[int, Meta(ge=1, le=MAX_RECOMMENDATIONS)] = DEFAULT_ITEMS
    exclude: Annotated[Collection[InstrumentId], Meta(max_length=MAX_EXCLUDED)] = ()
    category: _Categories = ()
    exclude_category: _Categories = ()
    include_seen: bool = False
    diversity: Annotated[float, Meta(ge=0, le=1)] | None = None
    names: bool = False


class ForItems(ListRequest, frozen=True, kw_only=True):
    """A request for instruments, given some others, the most recent first."""

    items: Annotated[list[WeightedItem], Meta(min_length=1, max_length=MAX_ITEMS)]


class ForUsers(ListRequest, frozen=True, kw_only=True):
    """A request for instruments for each of some users."""

    user_ids: Annotated[list[UserId], Meta(min_length=1, max_length=MAX_USERS)]


_for_items: Final = msgspec.json.Decoder(ForItems)
_for_users: Final = msgspec.json.Decoder(ForUsers)


def parse_for_items(body: bytes) -> ForItems:
    """Parse a request for a set of instruments.

    Raises:
        Problem: the body is not JSON, or invalid.
    """
    return decoded(_for_items, body)


def parse_for_users(body: bytes) -> ForUsers:
    """Parse a request for several users.

    Raises:
        Problem: the body is not JSON, or invalid.
    """
    asked = decoded(_for_users, body)
    for index, user_id in enumerate(asked.user_ids):
        try:
            check_user_id(user_id)
        except ValueError as error:
            raise broken_rule(f"user_ids[{index}]", str(error)) from error
    return asked


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
        weights[item.instrument_id] += item.weight
    return {item: HistoryEntry(r, -place) for place, (item, r) in enumerate(weights.items())}
