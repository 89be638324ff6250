"""Decisions on generations: stored in `model:decisions` and in the generation's report."""

from typing import Final, Literal

import msgspec

What = Literal[
    "published", "on trial", "promoted", "withdrawn", "rolled back", "rejected", "compared"
]

BY_RULES: Final = "rules"
BY_PERSON: Final = "person"
"""A person who ran a command of the trainer."""


class Decision(msgspec.Struct, frozen=True):
    """A decision on a generation, and its reason."""

    at: str
    """ISO 8601, UTC"""
    generation: str
    variant: str
    what: What
    why: str
    by: str
    """`BY_RULES` or `BY_PERSON`"""
    figures: dict[str, float] = {}
    """the figures that the decision is based on"""
