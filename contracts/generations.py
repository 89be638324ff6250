"""What the trainer publishes for readers: lists, how good they are, and who is served which.

The keys are in `contracts.keyspace`; answers show the figures of a generation's report as they are.
"""

from typing import Final, Literal

import msgspec

from contracts.fold_in import FoldIn
from contracts.log_position import LogPosition


class Lead(msgspec.Struct, frozen=True):
    """How much better settings predict than those that are served, for the same users."""

    served: float
    """nDCG@10 of the served settings, mean over the users"""
    mean: float
    """below 0 where the served ones are better"""
    error: float
    """half of its 95 % interval, paired by user"""

    @property
    def kept_at_best(self) -> float:
        """The most that may well be kept of what the served settings reach; 1 if that is 0."""
        return 1 + (self.mean + self.error) / self.served if self.served else 1.0


class Repeats(msgspec.Struct, frozen=True):
    """How well lists predict all that users took, if some of what they had before leads."""

    most: int
    """of such items lead a list"""
    ndcg: float
    """nDCG@10, mean over the users, of new items and of those taken again"""
    error: float
    """half of its 95 % interval"""
    new: float
    """nDCG@10 of new items alone"""
    new_error: float
    again: float
    """nDCG@10 of items taken again alone, mean over the users with any"""
    again_error: float


class HeldOut(msgspec.Struct, frozen=True):
    """How well the generation's settings predict the users' latest items, learned without these."""

    users: int
    """whose latest items were held out"""
    ndcg: float
    """nDCG@10, mean over these users"""
    low: float
    """of the 95 % interval, by the users"""
    high: float
    coverage: float
    personalization: float
    lead: Lead | None = None
    """over what was served; null: the settings are the same, or nothing was served"""
    repeats: list[Repeats] = []
    """by how many lead; empty if nobody took anything again"""


class UnderWay(msgspec.Struct, frozen=True):
    """What the trainer is doing: it makes a generation, or searches for the best settings."""

    what: Literal["lists", "search"]
    since: str
    """ISO 8601, UTC"""
    events: int
    """folded into the histories that it learns from"""
    candidates: int = 0
    """that the search has measured"""
    best: str = ""
    """of these"""


class Comparison(msgspec.Struct, frozen=True):
    """A mean over the users of a variant, and over those of the default one in the same period."""

    users: int
    users_default: int
    mean: float
    mean_default: float
    low: float
    """of the 95 % interval of the difference; below 0 where the variant is worse"""
    high: float

    @property
    def loss(self) -> float:
        """How much less the variant has, relative to the default one."""
        difference = self.mean_default - self.mean
        return difference / self.mean_default if self.mean_default else 0.0


class Outcome(msgspec.Struct, frozen=True):
    """What a period showed of a variant."""

    variant: str
    ndcg: Comparison | None
    """nDCG@10, by what users newly took, of the lists that each one's variant served when the
    period began; null: fewer than two users of either took anything new"""
    clicks: Comparison | None = None
    """clicks per list shown; null: no feedback came in"""


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


DEFAULT_VARIANT: Final = "default"
CANARY_VARIANT: Final = "canary"


class Neighbor(msgspec.Struct, frozen=True, gc=False):
    """An item that is similar to another."""

    item: str
    score: float
    support: float
    """G of the two: in binary mode, the number of users who have both"""


class SimilarList(msgspec.Struct, frozen=True):
    """The neighbors of an item, most similar first; those with negative scores come last.

    The latter are not similar items: they matter only when histories are folded in.
    """

    model: str
    items: list[Neighbor]


class Recommendation(msgspec.Struct, frozen=True, gc=False):
    """An item for a user; `because` lists the items, or neighbors' items, that led to it."""

    item: str
    score: float
    because: list[str]


class UserList(msgspec.Struct, frozen=True):
    """The recommendations for a user, best first, without items that the user already has."""

    model: str
    off: LogPosition
    """the `off` of the history that it was made from: if that differs, the list is out of date"""
    items: list[Recommendation]


class Popular(msgspec.Struct, frozen=True, gc=False):
    """An item and how popular it is."""

    item: str
    score: float
    """the support, each user who took it long ago counting less"""
    support: float
    """G[item, item]: in binary mode, the number of users who have it"""


class PopularList(msgspec.Struct, frozen=True):
    """The most popular items, most popular first."""

    model: str
    items: list[Popular]
    is_whole: bool = False
    """whether it has every item with counts"""


class Served(msgspec.Struct, frozen=True):
    """The generation that a variant serves."""

    generation: str
    model: str
    """the item model's name"""
    user_model: str
    fold_in: FoldIn = FoldIn()
    """how histories are folded into the items' lists"""
    diversity: float = 0
    """of answers to requests that do not name another, 0 to 1"""
    repeats: int = 0
    """how many items that the user has lead a list, unless a request says otherwise"""


class Experiment(msgspec.Struct, frozen=True):
    """Assigns users to variants, as defined in `contracts.pointer`, and compares them once."""

    name: str
    """part of the hash: a different name assigns users to different groups"""
    weights: dict[str, float]
    """variant -> its relative share of the users; a variant that is absent has none"""
    since_ms: int = 0
    """when it began, epoch ms"""
    until_ms: int = 0
    """when its variants are compared, epoch ms"""
    started: dict[str, Served] = {}
    """variant -> what it served at the start; kept, and none of it once they are compared"""
    outcomes: list[Outcome] = []
    """of each variant but the default one, once they are compared"""


class Canary(msgspec.Struct, frozen=True):
    """A generation on trial: some users of the default variant get it instead."""

    served: Served
    share: float
    """of the default variant's users, 0 to 1"""
    since_ms: int
    """when it was first served, epoch ms"""
    until_ms: int
    """when it is compared with the default variant, epoch ms"""


class Current(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is served: the value of `model:current`."""

    fence: int
    """the fencing token of the trainer that wrote this; a lower one must not overwrite it"""
    variants: dict[str, Served]
    experiment: Experiment | None = None
    """None: every user gets the default variant"""
    canary: Canary | None = None
    previous: list[Served] = []
    """generations that the default variant can be rolled back to, latest first"""
    held: bool = False
    """rolled back by a person: runs publish nothing until a person requests it"""


_current = msgspec.json.Decoder(Current)


def decode_current(value: bytes | str | None) -> Current | None:
    """Return what is served, given the value of `model:current`; None if there is none."""
    return _current.decode(value) if value else None
