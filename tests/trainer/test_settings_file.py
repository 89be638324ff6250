"""A file configures the trainer, the environment overrides it, and its errors are reported."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.patience import PATIENCE_S
from tests.trainer.setup import Setup
from trainer.settings import TrainerSettings
from trainer.settings_file import SettingsFileError, read_settings_file, write_settings_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trainer.toml"


def once(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trainer", "once"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_what_once_trains_with_is_what_the_file_and_the_environment_say(
    setup: Setup, environment: dict[str, str], file: Path
) -> None:
    setup.fill(np.ones((5, 4)))
    values = {"neighbors_per_item": 2, "cosine_shrinkage": 3.5, "cosine_popularity_damping": 0.75}
    write_settings_file(file, values, ["a comment"])
    ended = once(
        environment | {"TRAINER_SETTINGS_FILE": str(file), "COSINE_POPULARITY_DAMPING": "0.25"}
    )
    assert ended.returncode == 0, ended.stderr
    report = setup.report()
    assert report.settings["neighbors_per_item"] == 2
    cosine = report.settings["cosine"]
    assert cosine["shrinkage"] == 3.5
    assert cosine["popularity_damping"] == 0.25
    assert report.lists.similar_entries == 4 * 2


def test_once_ends_with_one_line_on_an_invalid_file(
    environment: dict[str, str], file: Path
) -> None:
    file.write_text("neighbors = 3")
    ended = once(environment | {"TRAINER_SETTINGS_FILE": str(file)})
    assert ended.returncode == 2
    assert f"Error: {file}: no setting is called neighbors: take one of " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_value_in_the_file_is_checked_like_one_in_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER_SETTINGS_FILE", str(file))
    file.write_text("neighbors_per_item = 0")
    with pytest.raises(ValueError, match=r"neighbors_per_item\n.*greater than 0"):
        TrainerSettings()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "trainer.toml: No such file or directory"),
        ("nothing = 1", "trainer.toml: no setting is called nothing: take one of "),
        ("a b", "trainer.toml: no TOML .*: write lines `name = value`"),
    ],
)
def test_an_invalid_file_is_refused(content: str | None, error: str, file: Path) -> None:
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsFileError, match=error):
        read_settings_file(file, TrainerSettings)


def test_names_in_capitals_are_read_as_the_environment_has_them(file: Path) -> None:
    file.write_text("COSINE_SHRINKAGE = 3.5")
    assert read_settings_file(file, TrainerSettings) == {"cosine_shrinkage": 3.5}


def test_what_is_written_is_read_again(file: Path) -> None:
    values = {"item_model": "cosine", "cosine_shrinkage": 1e-7, "neighbors_per_item": 30}
    write_settings_file(file, values, ["of a test", "in two lines"])
    assert file.read_text().startswith("# of a test\n# in two lines\n")
    assert read_settings_file(file, TrainerSettings) == values
