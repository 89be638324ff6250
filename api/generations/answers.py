"""The answers about models: the only definition of their JSON."""

from typing import Any

import msgspec

from contracts.generations import Decision, HeldOut, Outcome, Served, UnderWay


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
    """null: there was nothing to choose, or no search has finished yet"""


class Model(Served, frozen=True, kw_only=True):
    """A generation that is served, or kept for a rollback."""

    report: Figures | None
    """null: it is gone or damaged"""


class Trial(msgspec.Struct, frozen=True):
    """The trial of a canary."""

    share: float
    """of the default variant's users, 0 to 1"""
    since_ms: int
    until_ms: int
    """when it is compared with the default variant, once"""


class Variant(msgspec.Struct, frozen=True):
    """What a share of the users is served."""

    variant: str
    users: float
    """its share of all users, 0 to 1"""
    serves: Model
    trial: Trial | None = None
    """of the canary"""


class Models(msgspec.Struct, frozen=True):
    """Which users are served which generation."""

    experiment: str | None
    variants: list[Variant]
    """the default one first, the canary last"""
    previous: list[Model]
    """generations that the default variant can be rolled back to, latest first"""
    held: bool
    """rolled back by a person: runs publish nothing until a person requests it"""
    under_way: UnderWay | None = None
    """what the trainer is doing; null: it waits"""


class Arm(msgspec.Struct, frozen=True):
    """A variant in an experiment."""

    variant: str
    weight: float
    users: float
    """its share of all users, 0 to 1, including the canary's"""
    generation: str | None
    """null: it is not served, so it has no users"""
    outcome: Outcome | None = None
    """how it compares with the default variant; null: its period is not over"""


class Experiments(msgspec.Struct, frozen=True):
    """Which users get which variant."""

    name: str | None
    """null: every user gets the default variant"""
    variants: list[Arm]
    since_ms: int | None = None
    until_ms: int | None = None
    """when the variants are compared, once"""


class Decisions(msgspec.Struct, frozen=True):
    """Decisions on generations, newest first."""

    decisions: list[Decision]
