"""The figures of a generation's report in answers: the only definition of their JSON."""

from typing import Any

import msgspec

from contracts.figures import HeldOut


class Learned(msgspec.Struct, frozen=True):
    """The training data of a generation."""

    items: int
    pairs: int
    """of items that some user has both of, each counted once"""
    users: int
    affinities: int
    """total items of these users"""


class Checked(msgspec.Struct, frozen=True):
    """A rule that was checked before publication."""

    rule: str
    level: str
    """`hard`: if it fails, nothing is published; `soft`: it is only reported"""
    holds: bool
    value: float | None
    """null: not finite"""
    limit: float | None
    meaning: str


class Selection(msgspec.Struct, frozen=True):
    """What `auto` chose, and from what data."""

    found: dict[str, Any]
    at: str
    """ISO 8601, UTC"""
    items: int
    events: int
    users: int


class Figures(msgspec.Struct, frozen=True):
    """The figures of a generation's report."""

    started: str
    """ISO 8601, UTC"""
    finished: str
    data: Learned
    quality: list[Checked] = []
    held_out: HeldOut | None = None
    """null: too few users have enough items for a hold-out"""
    selection: Selection | None = None
    """null: there was nothing to choose"""
