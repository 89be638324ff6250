"""Settings in a TOML file, as `tune` writes them and people keep them: names as in the environment.

`TRAINER_SETTINGS_FILE` names the file that `run` and `once` read; an environment variable of the
same name as a setting in it comes first.
"""

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

PATH_FIELD: Final = "trainer_settings_file"
"""The setting that names the file."""


class SettingsFileError(ValueError):
    """The file cannot be used: the message names it, what is wrong and what to do."""


class SettingsFileSource(PydanticBaseSettingsSource):
    """What stands in the file that the sources before this one name; nothing if they name none."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 (pydantic's signature)
        """Return the value of one setting, its name, and that it is ready to be validated."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the settings of the file.

        Raises:
            SettingsFileError: it cannot be used.
        """
        path = self.current_state.get(PATH_FIELD)
        return read_settings_file(Path(path), self.settings_cls.model_fields) if path else {}


def read_settings_file(path: Path, known: Collection[str]) -> dict[str, Any]:
    """Return the settings in a file, by their names in small letters.

    Args:
        path: of a TOML file without tables; names may be in capitals.
        known: the names of settings that there are.

    Raises:
        SettingsFileError: it cannot be read, is no TOML or names a setting that there is not.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsFileError(
            f"{path}: {error.strerror}: give the path of a file that `tune` wrote"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsFileError(f"{path}: no TOML ({error}): write lines `name = value`") from error
    settings = {name.lower(): value for name, value in values.items()}
    for name in settings:
        check_name(f"{path}: ", name, known)
    return settings


def write_settings_file(path: Path, values: Mapping[str, object], comments: Sequence[str]) -> None:
    """Write settings that are numbers or text, with a few lines on where they come from."""
    lines = [f"# {comment}" for comment in comments]
    # A number or text is written alike in JSON and in TOML.
    lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def check_name(place: str, name: str, known: Collection[str]) -> None:
    """Make sure that there is a setting of that name.

    Raises:
        SettingsFileError: there is none.
    """
    if name not in known:
        raise SettingsFileError(
            f"{place}no setting is called {name}: take one of {', '.join(sorted(known))}"
        )
