"""The figures of a generation's report in answers: the only definition of their JSON."""

from typing import Any

import msgspec


class Learned(msgspec.Struct, frozen=True):
    """The training data of a generation."""

    items: int
    pairs: int
    """of items that some user has both of, each counted once"""
    users: int
    affinities: int
    """total items of these users"""


class Lead(msgspec.Struct, frozen=True):
    """A lead in nDCG@10 over what was served, on the same users."""

    served: float
    """nDCG@10 of the served settings"""
    mean: float
    """below 0 where the served ones are better"""
    error: float
    """half of its 95 % interval"""


class HeldOut(msgspec.Struct, frozen=True):
    """How well the generation's settings predict the users' held-out last interactions."""

    users: int
    ndcg: float
    """nDCG@10, mean over these users"""
    low: float
    """of the 95 % interval"""
    high: float
    coverage: float
    personalization: float
    lead: Lead | None = None
    """over what was served; null: the settings are the same, or nothing was served"""


class Mean(msgspec.Struct, frozen=True):
    """A mean over users."""

    mean: float
    error: float
    """half of its 95 % interval"""


class Happened(msgspec.Struct, frozen=True):
    """How well the lists that the variant served before predicted what users newly took."""

    users: int
    ndcg: Mean
    """nDCG@10"""
    popular: Mean
    """that of the popular list, for the same users"""
    lead: Mean
    """over the popular list"""
    predicted: float | None = None
    """what was predicted of these lists"""


class Rate(msgspec.Struct, frozen=True):
    """Clicks per impression."""

    rate: float
    low: float
    """of the 95 % interval"""
    high: float
    effective: float
    """effective number of impressions"""


class Exploration(msgspec.Struct, frozen=True):
    """The click-through of a variant that explores, until the generation was made."""

    at: str
    """ISO 8601, UTC"""
    users: int
    served: Rate
    """as it was shown"""
    ranked: Rate
    """estimated, had nothing been explored"""
    explored: Rate
    """estimated, had all slots been explored that may be"""
    lead: Mean
    """of ranked items over explored ones"""


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
    happened: Happened | None = None
    """null: nothing was served before, or nobody took anything new"""
    exploration: Exploration | None = None
    """null: the variant did not explore, or too little was shown"""
