"""The criteria for a new generation: a TOML file, named in `CANARY_RULES`.

Everything is optional; these are the defaults:

```toml
share = 0.05              # of the default variant's users who get the new generation first
minutes = 60              # how long at least, before it is judged
minutes_most = 1440       # how long at most; withdrawn then, if too little was seen to judge it
rest_minutes = 60         # after one was rolled back, before the next one is tried
confidence = 0.95         # of equally good generations about 1 - confidence are rolled back
needs = 1                 # how many of the two measures must be conclusive

[holdout]                 # nDCG@10 on what users did since the trial began
users_least = 100         # of either generation; with fewer it is inconclusive
users_most = 2000         # the latest active ones, half of them of either generation
loss_max = 0.02           # relative to the served generation

[clicks]                  # click-through, from the topic `feedback`
users_least = 100         # of either generation, who were shown anything; else inconclusive
impressions_least = 1000  # of either generation; else inconclusive
loss_max = 0.05           # relative to the served generation
```

A generation is judged once: as soon as `minutes` are over and as many measures are conclusive as
`needs` requires. It is rolled back if it loses more than `loss_max`, and not by chance, on one of
these, and promoted otherwise. `needs = 0` also promotes without any conclusive measure.
"""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class RulesError(ValueError):
    """The file has invalid rules."""


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HoldoutRules(_Rules):
    """Of what users did since the trial began."""

    users_least: int = Field(default=100, ge=2)
    users_most: int = Field(default=2_000, ge=2)
    loss_max: float = Field(default=0.02, ge=0, lt=1)


class ClickRules(_Rules):
    """Of what was clicked of that which was shown."""

    users_least: int = Field(default=100, ge=2)
    impressions_least: int = Field(default=1_000, ge=1)
    loss_max: float = Field(default=0.05, ge=0, lt=1)


class CanaryRules(_Rules):
    """All rules."""

    share: float = Field(default=0.05, gt=0, lt=1)
    minutes: float = Field(default=60, ge=0)
    minutes_most: float = Field(default=1_440, ge=0)
    rest_minutes: float = Field(default=60, ge=0)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    needs: int = Field(default=1, ge=0, le=2)
    holdout: HoldoutRules = HoldoutRules()
    clicks: ClickRules = ClickRules()

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> "CanaryRules":
        if self.minutes_most < self.minutes:
            raise ValueError(
                f"minutes_most ({self.minutes_most:g}) is below minutes ({self.minutes:g}): "
                "raise it, as a canary is judged only between the two"
            )
        return self


def read_rules(path: Path) -> CanaryRules:
    """Return the rules in a file.

    Raises:
        RulesError: they are none, or there is no such file.
    """
    try:
        return CanaryRules.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise RulesError(
            f"{path} (CANARY_RULES) has no rules for canaries: {error}. "
            "`trainer/experiments/rules.py` shows what may stand there"
        ) from error
