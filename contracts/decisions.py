"""What was decided on a generation, and what is seen so far of one that is on trial.

A decision stands in `model:decisions` and in the generation's report, a standing in `model:trial`.
"""

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


class Standing(msgspec.Struct, frozen=True):
    """What is seen so far of a canary. It is no verdict: who looks early and often finds a loser.

    The trainer writes it while the canary is on trial.
    """

    generation: str
    at: str
    """ISO 8601, UTC"""
    due_ms: int
    """when it is judged, if enough is seen by then, epoch ms; else as soon as that is so"""
    until_ms: int
    """when it is withdrawn if too little is seen until then, epoch ms"""
    enough: bool
    """whether enough is seen to judge it"""
    why: str
    """what is seen, and what is missing"""
    figures: dict[str, float]
    """of both generations, as of a decision"""
