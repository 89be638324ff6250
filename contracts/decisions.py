"""What was decided on a generation, as it stands in `model:decisions` and in its report."""

from typing import Final, Literal

import msgspec

What = Literal["published", "on trial", "promoted", "withdrawn", "rolled back", "rejected"]

BY_RULES: Final = "rules"
BY_PERSON: Final = "person"
"""Whoever typed a command of the trainer's."""


class Decision(msgspec.Struct, frozen=True):
    """What was done with a generation, and why."""

    at: str
    """ISO 8601, UTC"""
    generation: str
    variant: str
    what: What
    why: str
    by: str
    """`BY_RULES`, `BY_PERSON`, or who asked the API"""
    figures: dict[str, float] = {}
    """what the decision rests on"""
