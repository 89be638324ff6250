"""Decisions on generations, and the standing of a canary on trial.

A decision is stored in `model:decisions` and in the generation's report, a standing in
`model:trial`.
"""

from typing import Final, Literal

import msgspec

What = Literal["published", "on trial", "promoted", "withdrawn", "rolled back", "rejected"]

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
    """`BY_RULES`, `BY_PERSON`, or the caller of the API"""
    figures: dict[str, float] = {}
    """the figures that the decision is based on"""


class Standing(msgspec.Struct, frozen=True):
    """The measurements of a canary so far. They are not a verdict: early looks would find a loser.

    The trainer writes it while the canary is on trial.
    """

    generation: str
    at: str
    """ISO 8601, UTC"""
    due_ms: int
    """earliest time of the decision, epoch ms; later if there is not enough data by then"""
    until_ms: int
    """when it is withdrawn if there is still too little data, epoch ms"""
    enough: bool
    """whether there is enough data for a decision"""
    why: str
    """the data so far, and what is missing"""
    figures: dict[str, float]
    """of both generations, as for a decision"""
