"""What a generation was made from, and how: the JSON at `model:<generation>:report`. Pure."""

from typing import Any

import msgspec

Position = tuple[int, int] | None
"""Incarnation and next offset of a partition; None where nothing was folded yet"""


class Inputs(msgspec.Struct, frozen=True):
    """What decides a generation: the same inputs make the same lists."""

    models: dict[str, dict[str, Any]]
    """model -> its configuration"""
    positions: dict[str, list[Position]]
    """topic -> position of each partition, from before anything else was read"""


class Data(msgspec.Struct, frozen=True):
    """How much there was to learn from."""

    items: int
    pairs: int
    """of items that someone has both, each counted once"""
    items_of_one_user: int
    """items whose G_ii is 1: in binary mode, exactly one user has them"""
    items_alone: int
    """items that nobody has beside another one"""
    users: int
    """who get a list"""
    affinities: int
    """items of these users, summed up"""


class Lists(msgspec.Struct, frozen=True):
    """What was written."""

    similar: int
    """lists"""
    similar_entries: int
    """items in them"""
    user: int
    user_entries: int
    popular_entries: int


class Report(msgspec.Struct, frozen=True):
    """The report of one generation."""

    generation: str
    fence: int
    started: str
    """ISO 8601, UTC"""
    finished: str
    """when all lists were written, before the pointer flipped"""
    inputs: Inputs
    data: Data
    lists: Lists
    seconds: dict[str, float]
    """stage -> time that it took"""
