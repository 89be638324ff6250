"""How good a generation is: the figures in its report, which answers show as they are. Pure."""

import msgspec


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
