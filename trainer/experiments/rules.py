"""The criteria for a new generation: a TOML file, named in `CANARY_RULES`.

Everything is optional; these are the defaults:

```toml
share = 0.05       # of the default variant's users who get the new generation first
minutes = 60       # how long, before it is compared once with the served one
users_least = 100  # of either generation, who took anything new; with fewer it is withdrawn
loss_max = 0.02    # of nDCG@10, relative to the served generation
rest_minutes = 60  # after one was rolled back, before the next one is tried
```

A generation is rolled back if it loses more than `loss_max` and the 95 % interval of the difference
is below zero, and promoted otherwise: of equal ones, one in 40 is rolled back. A table `[clicks]`,
with its own `users_least` (100) and `loss_max` (0.05), adds the same rule on clicks per list.
"""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.figures import Comparison
from trainer.settings_file import SettingsFileError


class Rule(BaseModel):
    """A limit on what a generation may lose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users_least: int = Field(default=100, ge=0)
    loss_max: float = Field(default=0.05, ge=0, lt=1)

    def is_met(self, found: Comparison | None) -> bool:
        """Return whether enough users were seen."""
        seen = min(found.users, found.users_default) if found else 0
        return seen >= self.users_least

    def is_broken(self, found: Comparison | None) -> bool:
        """Return whether the loss is more than allowed, and hardly chance."""
        return found is not None and found.high < 0 and found.loss > self.loss_max


class CanaryRules(Rule):
    """All rules; those of the class itself are on nDCG@10."""

    loss_max: float = Field(default=0.02, ge=0, lt=1)
    share: float = Field(default=0.05, gt=0, lt=1)
    minutes: float = Field(default=60, ge=0)
    rest_minutes: float = Field(default=60, ge=0)
    clicks: Rule | None = None


def read_rules(path: Path) -> CanaryRules:
    """Return the rules in a file.

    Raises:
        SettingsFileError: they are none, or there is no such file.
    """
    try:
        return CanaryRules.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise SettingsFileError(
            f"{path} (CANARY_RULES) has no rules for canaries: {error}. "
            "`trainer/experiments/rules.py` shows what may stand there"
        ) from error
