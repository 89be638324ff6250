"""Additional variants: the trainer's settings, some of them replaced, under other names.

They are tables in a TOML file that `VARIANTS` names, and are trained and published with the default
variant at every run:

```toml
[steep]
item_model = "cosine"
cosine_popularity_damping = 0.7

[few-neighbors]
neighbors_per_item = 50
```

Who gets them is set separately, at any time and from the next request on, with
`python -m trainer weights spring default=9 steep=1` (`contracts.pointer`). A variant without a
weight is published and has no users. Each one takes as much of Redis's memory as the default one.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from contracts.feedback import NAME
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT
from runtime.settings import flat_fields
from trainer.models import MODELS, settings_part
from trainer.settings import AT_SERVING, AUTO, SEARCHED, TrainerSettings
from trainer.settings_file import SettingsFileError, changed

TAKEN: Final = frozenset({DEFAULT_VARIANT, CANARY_VARIANT})

OF_A_VARIANT: Final = (
    "item_model",
    "user_model",
    "neighbors_per_item",
    "fold_in_",
    "counts_user_weight_exponent",
    "counts_half_life_days",
    *AT_SERVING,
    *(f"{settings_part(model)}_" for model in MODELS),
)
"""What the names of settings begin with that a variant may have of its own."""


def read_variants(path: Path, settings: TrainerSettings) -> dict[str, TrainerSettings]:
    """Return the settings of each variant in a file; what it leaves out is as in `settings`.

    Raises:
        SettingsFileError: the file has none, or there is no such file.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: _variant(name, table, settings) for name, table in tables.items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValueError) as error:
        raise SettingsFileError(f"{path} (VARIANTS) has no variants: {error}") from error


def _variant(name: str, table: Any, settings: TrainerSettings) -> TrainerSettings:
    if not re.fullmatch(NAME, name) or name in TAKEN:
        raise SettingsFileError(f"{name!r} is no variant's name: {NAME}, and not {sorted(TAKEN)}")
    if not isinstance(table, dict):
        raise SettingsFileError(f"{name} is no table of settings but {table!r}")
    known = [name for name in flat_fields(TrainerSettings) if name.startswith(OF_A_VARIANT)]
    if unknown := table.keys() - set(known):
        raise SettingsFileError(f"[{name}] has {sorted(unknown)}, which are no settings of a model")
    searched = sorted(key for key in table if key.startswith(SEARCHED))
    if searched and table.get("item_model", settings.item_model) == AUTO:
        raise SettingsFileError(
            f"[{name}] has {searched}, which `auto` would choose itself: set its item_model, too"
        )
    try:
        made: TrainerSettings = changed(settings, table)
    except ValidationError as error:
        raise SettingsFileError(f"[{name}]: {error}") from error
    return made
