"""The answers about models: the only definition of their JSON."""

import msgspec

from api.models.figures import Figures
from contracts.decisions import Decision
from contracts.figures import Outcome
from contracts.generations import Served


class PredictedItems(msgspec.Struct, frozen=True):
    """Instrument ids, best first."""

    predicted_items: list[str]


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
