"""Settings in a TOML file, as `evaluate --best` writes them: names as in the environment.

`TRAINER_SETTINGS_FILE` names the file that `run` and `once` read; an environment variable of the
same name as a setting in it comes first.
"""

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from runtime.settings import flat_fields, part_of

PATH_FIELD: Final = "trainer_settings_file"
"""The setting that names the file."""


class SettingsFileError(ValueError):
    """The file cannot be used: the message names it, the problem and the remedy."""


class SettingsFileSource(PydanticBaseSettingsSource):
    """The content of the file that earlier sources name; empty if they name none."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 (pydantic's signature)
        """Return the value of one setting, its name, and that it is ready to be validated."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the settings of the file.

        Raises:
            SettingsFileError: it cannot be used.
        """
        path = self.current_state.get(PATH_FIELD)
        if not path:
            return {}
        return nested(read_settings_file(Path(path), self.settings_cls), self.settings_cls)


def nested(values: Mapping[str, Any], settings: type[BaseModel]) -> dict[str, Any]:
    """Return settings, given by their names in the environment, as the class has them.

    >>> from trainer.settings import TrainerSettings
    >>> nested({"item_model": "ease", "ease_regularization": 8}, TrainerSettings)
    {'item_model': 'ease', 'ease': {'regularization': 8}}
    """
    made: dict[str, Any] = {}
    for name, value in values.items():
        for part, field in settings.model_fields.items():
            inner = name.removeprefix(f"{part}_")
            if (config := part_of(field)) is not None and inner in config.model_fields:
                made.setdefault(part, {})[inner] = value
                break
        else:
            made[name] = value
    return made


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings, given as the class has them, by their names in the environment.

    >>> flat({"item_model": "ease", "ease": {"regularization": 8}})
    {'item_model': 'ease', 'ease_regularization': 8}
    """
    made: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            made |= {f"{name}_{inner}": own for inner, own in value.items()}
        else:
            made[name] = value
    return made


def changed(settings: Any, values: Mapping[str, Any]) -> Any:
    """Return settings of the same class with some replaced, by their names in the environment.

    Raises:
        ValidationError: a value is out of its bounds.
    """
    merged = settings.model_dump()
    for name, value in nested(values, type(settings)).items():
        merged[name] = merged[name] | value if isinstance(value, dict) else value
    return type(settings).model_validate(merged)


def read_settings_file(path: Path, settings: type[BaseModel]) -> dict[str, Any]:
    """Return the settings in a file, by their names in the environment, in small letters.

    Args:
        path: of a TOML file without tables; names may be in capitals.
        settings: the class whose settings there may be.

    Raises:
        SettingsFileError: it cannot be read, is no TOML or names a setting that there is not.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsFileError(
            f"{path}: {error.strerror}: give the path of a readable file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsFileError(f"{path}: no TOML ({error}): write lines `name = value`") from error
    known = flat_fields(settings)
    found = {name.lower(): value for name, value in values.items()}
    for name in found:
        check_name(f"{path}: ", name, known)
    return found


def write_settings_file(path: Path, values: Mapping[str, object], comments: Sequence[str]) -> None:
    """Write settings that are numbers or text, with a few lines on where they come from."""
    lines = [f"# {comment}" for comment in comments]
    # A number or text is written alike in JSON and in TOML.
    lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def check_name(place: str, name: str, known: Collection[str]) -> None:
    """Check that there is a setting of that name.

    Raises:
        SettingsFileError: there is none.
    """
    if name not in known:
        raise SettingsFileError(
            f"{place}no setting is called {name}: take one of {', '.join(sorted(known))}"
        )
