"""What a generation was made from, and how: the JSON at `model:<generation>:report`. Pure."""

from typing import Any

import msgspec

from contracts.generations import DEFAULT_VARIANT, Decision, HeldOut, Lead, Repeats
from contracts.log_position import LogPosition
from trainer.models.interface import Values
from trainer.quality.checking import Checked

Position = LogPosition | None
"""Where a partition continues; None where nothing was folded yet."""


class FromArchive(msgspec.Struct, frozen=True):
    """Which state of the archive the counts were built from, and how."""

    snapshot: str
    """id of the snapshot of `interactions`, as text: jq and browsers round numbers of 64 bits"""
    folding: dict[str, Any]
    """how events became histories"""


class Inputs(msgspec.Struct, frozen=True):
    """What decides a generation: the same inputs make the same lists."""

    settings: dict[str, Any]
    """of the default variant"""
    positions: dict[str, list[Position]]
    """topic -> position of each partition, from before anything else was read"""
    variants: dict[str, dict[str, Any]] = {}
    """other variant than the default one -> as `settings`"""
    archive: FromArchive | None = None
    """None: the counts are the workers', out of Redis"""


class Data(msgspec.Struct, frozen=True):
    """How much there was to learn from."""

    items: int
    pairs: int
    """of items that someone has both, each counted once"""
    items_of_one_user: int
    """items whose G_ii is 1: in binary mode, exactly one user has them"""
    items_alone: int
    """items that nobody has together with another one"""
    users: int
    """whose histories were read; the latest active of them may get a list"""
    affinities: int
    """items of these users, summed up"""
    own_counts: float = 0
    """sum of G_ii: in binary mode, how many items the users have, summed up"""
    latest_ms: int = 0
    """time of the latest event in the histories, epoch ms: what came after it was not known"""


class Lists(msgspec.Struct, frozen=True):
    """What was written."""

    similar: int
    """lists"""
    similar_entries: int
    """items in them"""
    user: int
    user_entries: int
    popular_entries: int


class Tried(msgspec.Struct, frozen=True):
    """A candidate, and how it did."""

    values: Values
    ndcg: float
    """nDCG@10, mean over the users, by which candidates are chosen"""
    coverage: float
    """recommended items / all items"""
    personalization: float
    seconds: float


class Found(msgspec.Struct, frozen=True):
    """The result of `auto`'s search: the chosen settings, and the trials that decided."""

    values: Values
    """settings that take the place of the trainer's"""
    why: str
    users: int = 0
    """whose latest items were held out"""
    ndcg: float | None = None
    """nDCG@10 of what is chosen without the users that it is measured on"""
    low: float | None = None
    """of the 95 % interval, by the users"""
    high: float | None = None
    tried: list[Tried] = []
    lead: Lead | None = None
    """None: the settings are those that are served, or nothing is"""
    repeats_most: int = 0
    """how many items that a user has should lead the list"""
    repeats: list[Repeats] = []
    """by how many lead; empty if nobody took anything again"""

    @property
    def held_out(self) -> HeldOut | None:
        """How well the chosen settings predict; None if that could not be measured."""
        if self.ndcg is None or self.low is None or self.high is None:
            return None
        chosen = next(tried for tried in self.tried if tried.values == self.values)
        figures = self.ndcg, self.low, self.high, chosen.coverage, chosen.personalization
        return HeldOut(self.users, *figures, self.lead, self.repeats)


class Selection(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `auto` chose, and from how much: it looks again when that has changed."""

    found: Found
    at: str
    """when the data was read, ISO 8601, UTC"""
    items: int
    events: int
    """folded into histories"""
    users: int
    """whose histories were read"""


class Report(msgspec.Struct, frozen=True):
    """The report of one generation."""

    generation: str
    fence: int
    started: str
    """ISO 8601, UTC"""
    finished: str
    """when all lists were written, before the pointer flipped"""
    inputs: Inputs
    data: Data
    lists: Lists
    seconds: dict[str, float]
    """stage -> time that it took"""
    variant: str = DEFAULT_VARIANT
    quality: list[Checked] = []
    """what was checked before training"""
    settings: dict[str, Any] = {}
    """those that it was made with, chosen ones included"""
    held_out: HeldOut | None = None
    """None: too few users have enough items to hold any out, or these are the first lists"""
    selection: Selection | None = None
    """None: nothing was to be chosen, or no search has finished yet"""
    corrupt: list[str] = []
    """`key: problem` of the first values that were left out"""
    n_corrupt: int = 0
    decisions: list[Decision] = []
    """in their order"""

    @property
    def asked(self) -> dict[str, Any] | None:
        """The settings that the variant was asked for with, before anything was chosen."""
        if self.variant == DEFAULT_VARIANT:
            return self.inputs.settings
        return self.inputs.variants.get(self.variant)
