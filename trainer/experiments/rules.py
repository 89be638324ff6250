"""What a new generation is judged by: a file of TOML, named in `CANARY_RULES`.

All of it may be left out; this is what holds then:

```toml
share = 0.05              # of the default variant's users who get the new generation first
minutes = 60              # how long, before it is judged, once
rest_minutes = 60         # after one was rolled back, before the next one is tried
confidence = 0.95         # below it, a loss may be chance

[holdout]                 # nDCG@10 on what users did since the trial began
users_least = 200         # with fewer it says nothing
users_most = 2000         # the latest active ones
loss_max = 0.02           # relative to the served generation

[clicks]                  # click-through, from the topic `feedback`
impressions_least = 1000  # of either generation; with fewer it says nothing
loss_max = 0.05           # relative to the served generation
```

A generation is rolled back if it loses more than `loss_max`, and not by chance, on either measure.
If neither says anything there is nothing against it, and it is promoted: `needs = 1` asks for at
least one that does, `needs = 2` for both.
"""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class RulesError(ValueError):
    """The file has rules that are none."""


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HoldoutRules(_Rules):
    """Of what users did since the trial began."""

    users_least: int = Field(default=200, ge=2)
    users_most: int = Field(default=2_000, ge=2)
    loss_max: float = Field(default=0.02, ge=0, lt=1)


class ClickRules(_Rules):
    """Of what was clicked of that which was shown."""

    impressions_least: int = Field(default=1_000, ge=1)
    loss_max: float = Field(default=0.05, ge=0, lt=1)


class CanaryRules(_Rules):
    """All rules."""

    share: float = Field(default=0.05, gt=0, lt=1)
    minutes: float = Field(default=60, ge=0)
    rest_minutes: float = Field(default=60, ge=0)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    needs: int = Field(default=0, ge=0, le=2)
    holdout: HoldoutRules = HoldoutRules()
    clicks: ClickRules = ClickRules()


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
