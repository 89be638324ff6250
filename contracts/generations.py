"""What the trainer publishes and readers get: lists, and who is served which generation's.

The keys that they stand at are in `contracts.keyspace`.
"""

from typing import Final

import msgspec

from contracts.fold_in import FoldIn

DEFAULT_VARIANT: Final = "default"
CANARY_VARIANT: Final = "canary"


class Neighbor(msgspec.Struct, frozen=True, gc=False):
    """An item that is similar to another."""

    item: str
    score: float
    support: float
    """G of the two: in binary mode, how many users have both"""


class SimilarList(msgspec.Struct, frozen=True):
    """The neighbors of an item, most similar first; those with scores below zero come last.

    These are no similar items: they matter where histories are folded in, and nowhere else.
    """

    model: str
    items: list[Neighbor]


class Recommendation(msgspec.Struct, frozen=True, gc=False):
    """An item for a user; `because` holds the items or the neighbors' items that speak for it."""

    item: str
    score: float
    because: list[str]


class UserList(msgspec.Struct, frozen=True):
    """The recommendations of a user, best first; items that the user already has are left out."""

    model: str
    off: tuple[int, int]
    """the `off` of the history that it was made from: another one there means it is out of date"""
    items: list[Recommendation]


class Popular(msgspec.Struct, frozen=True, gc=False):
    """An item by how many users have it."""

    item: str
    score: float
    """G[item, item]: in binary mode, how many users have it"""


class PopularList(msgspec.Struct, frozen=True):
    """The most popular items, most popular first."""

    model: str
    items: list[Popular]


class Served(msgspec.Struct, frozen=True):
    """What one variant serves."""

    generation: str
    model: str
    """the item model's name"""
    user_model: str
    fold_in: FoldIn = FoldIn()
    """how histories are folded into the items' lists"""


class Experiment(msgspec.Struct, frozen=True):
    """Which users get which variant: `contracts.variants` says how."""

    name: str
    """goes into the hash: in another experiment users are in other groups"""
    weights: dict[str, float]
    """variant -> its users relative to those of the others; a variant that is missing has none"""


class Canary(msgspec.Struct, frozen=True):
    """A generation on trial: some users of the default variant get it instead."""

    served: Served
    share: float
    """of the default variant's users, 0 to 1"""
    since_ms: int
    """when it was first served, epoch ms"""


class Current(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is served: the value of `model:current`."""

    fence: int
    """the fencing token of the trainer that wrote this; a lower one may not overwrite it"""
    variants: dict[str, Served]
    experiment: Experiment | None = None
    """None: every user gets the default variant"""
    canary: Canary | None = None
    previous: list[Served] = []
    """what the default variant can be rolled back to, latest first"""
    held: bool = False
    """rolled back by a person, so that runs publish nothing until one asks for it"""
