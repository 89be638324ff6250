"""What the API answers about models."""

from typing import Any, Literal

import msgspec

What = Literal["published", "on trial", "promoted", "withdrawn", "rolled back", "rejected"]


class FoldIn(msgspec.Struct, frozen=True):
    """How many of a user's latest instruments count, and how soon one counts half."""

    items: int
    half_life_days: float


class Learned(msgspec.Struct, frozen=True):
    """How much a generation was trained on; `pairs` are of items that someone has both."""

    items: int
    pairs: int
    users: int
    affinities: int


class Checked(msgspec.Struct, frozen=True):
    """A rule checked before publication; a broken `hard` one prevents it."""

    rule: str
    level: str
    holds: bool
    value: float | None
    limit: float | None
    meaning: str


class HeldOut(msgspec.Struct, frozen=True):
    """Accuracy on users' held-out latest items: the mean nDCG@10 and its 95 % interval."""

    users: int
    ndcg: float
    low: float
    high: float
    coverage: float
    personalization: float


class Selection(msgspec.Struct, frozen=True):
    """The settings that `auto` selected, and the amount of data for it."""

    found: dict[str, Any]
    at: str
    items: int
    events: int
    users: int


class Report(msgspec.Struct, frozen=True):
    """How a generation was made; times are ISO 8601, UTC."""

    started: str
    finished: str
    data: Learned
    quality: list[Checked]
    held_out: HeldOut | None
    selection: Selection | None


class Model(msgspec.Struct, frozen=True):
    """A generation that is served, or kept for rollback; its report may be gone."""

    generation: str
    model: str
    user_model: str
    fold_in: FoldIn
    report: Report | None


class Standing(msgspec.Struct, frozen=True):
    """Interim results of a canary at `at`, ISO 8601; it is judged between the other times."""

    generation: str
    at: str
    due_ms: int
    until_ms: int
    enough: bool
    why: str
    figures: dict[str, float]


class Trial(msgspec.Struct, frozen=True):
    """The share of the default variant's users that a canary has, and since when, epoch ms."""

    share: float
    since_ms: int
    so_far: Standing | None


class Variant(msgspec.Struct, frozen=True):
    """What the share `users` of all users gets; only a canary is on trial."""

    variant: str
    users: float
    serves: Model
    trial: Trial | None


class Models(msgspec.Struct, frozen=True):
    """What is served; `held`: someone rolled back, so nothing is published."""

    experiment: str | None
    variants: list[Variant]
    previous: list[Model]
    held: bool


class Decision(msgspec.Struct, frozen=True):
    """A decision on a generation, by whom and why; `at` is ISO 8601, UTC."""

    at: str
    generation: str
    variant: str
    what: What
    why: str
    by: str
    figures: dict[str, float]


class Decisions(msgspec.Struct, frozen=True):
    """Decisions, newest first."""

    decisions: list[Decision]


class Decided(msgspec.Struct, frozen=True):
    """A new decision, and what the default variant serves from now on."""

    what: What
    generation: str
    serves: str


class Arm(msgspec.Struct, frozen=True):
    """A variant in an experiment; without a generation it is not served, so it has no users."""

    variant: str
    weight: float
    users: float
    generation: str | None


class Experiments(msgspec.Struct, frozen=True):
    """Which users get which variant; without a name, all get the default one."""

    name: str | None
    variants: list[Arm]
