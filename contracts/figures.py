"""How good a generation is: the figures in its report, which answers show as they are. Pure."""

from typing import Final

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


class Mean(msgspec.Struct, frozen=True):
    """A mean over users."""

    mean: float
    error: float
    """half of its 95 % interval, by the users"""


class Happened(msgspec.Struct, frozen=True):
    """How well the lists that were served before predicted what users newly took since.

    The popular list is judged for the same users, so that the two can be compared, whatever these
    users are like.
    """

    users: int
    """who took anything new; one who did under two generations counts for each"""
    ndcg: Mean
    """nDCG@10 of what was served"""
    popular: Mean
    """nDCG@10 of the popular list: a control that stays, and that nobody has to be shown"""
    lead: Mean
    """of what was served over the popular list"""
    predicted: float | None = None
    """nDCG@10 that was predicted of the last of these generations; null: it was not measured"""


class Rate(msgspec.Struct, frozen=True):
    """Clicks per impression, by a policy."""

    rate: float
    low: float
    """of the 95 % interval"""
    high: float
    effective: float
    """so many impressions of the policy itself would be as many as these, weighted"""


class Exploration(msgspec.Struct, frozen=True):
    """What was shown and clicked in a variant that explores, and what follows from it."""

    at: str
    """when it was estimated; ISO 8601, UTC"""
    users: int
    served: Rate
    """as it was shown"""
    ranked: Rate
    """estimated, had nothing been explored"""
    explored: Rate
    """estimated, had all slots been explored that may be"""
    lead: Mean
    """of ranked items over explored ones, in slots that may be explored"""


RATES: Final = ("served", "ranked", "explored")
"""The policies whose rates there are: fields of `Exploration`."""
