"""Settings have one flat name each, in the environment, in files, on the command line alike."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.settings import flat_fields
from trainer.models import ITEM_MODELS
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import (
    SettingsFileError,
    changed,
    flat,
    nested,
    read_settings_file,
    write_settings_file,
)

FIELDS = flat_fields(TrainerSettings)

values_of = st.fixed_dictionaries(
    {},
    optional={
        "item_model": st.sampled_from([AUTO, *ITEM_MODELS]),
        "neighbors_per_item": st.integers(1, 500),
        "ease_regularization": st.floats(0.1, 100),
        "ease_own_damping": st.floats(0, 1),
        "cosine_popularity_damping": st.floats(0, 1),
        "counts_user_weight_exponent": st.floats(0, 1),
        "user_knn_k": st.integers(1, 500),
        "auto_accuracy_given_up": st.floats(0, 0.9),
        "quality_items_kept_min": st.floats(0, 1),
    },
)


def read(settings: TrainerSettings, name: str) -> Any:
    ((part, value),) = nested({name: None}, TrainerSettings).items()
    found = getattr(settings, part)
    return getattr(found, next(iter(value))) if isinstance(value, dict) else found


@given(values=values_of)
def test_the_environment_sets_what_changing_does(values: dict[str, Any]) -> None:
    named = {name.upper(): str(value) for name, value in values.items()}
    with pytest.MonkeyPatch.context() as patch:
        for name in (name.upper() for name in FIELDS):
            if name in os.environ:
                patch.delenv(name)
        plain = TrainerSettings()
        for name, value in named.items():
            patch.setenv(name, value)
        assert TrainerSettings() == changed(plain, values)


def test_a_generation_depends_on_what_makes_it_and_on_nothing_else() -> None:
    settings = TrainerSettings()
    made_by = flat(settings.of_generation())
    for name, value in {
        "keep_generations": 3,
        "train_every_seconds": 5,
        "quality_items_kept_min": 0.1,
        "namespace": "other",
    }.items():
        assert flat(changed(settings, {name: value}).of_generation()) == made_by
    for name, value in {
        "fold_in_items": 3,
        "counts_user_weight_exponent": 0.5,
        "cosine_shrinkage": 0.1,
        "auto_accuracy_given_up": 0.3,
        "active_users": 5,
    }.items():
        assert flat(changed(settings, {name: value}).of_generation()) == made_by | {name: value}
    named = changed(settings, {"item_model": "ease", "user_model": "none"})
    # What was not asked to choose does not depend on how it would.
    assert named.of_generation() == changed(named, {"auto_accuracy_given_up": 0.3}).of_generation()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trainer.toml"


def test_the_environment_comes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings_file(file, {"cosine_shrinkage": 3.5, "cosine_own_damping": 0.75}, ["a comment"])
    monkeypatch.setenv("TRAINER_SETTINGS_FILE", str(file))
    monkeypatch.setenv("COSINE_OWN_DAMPING", "0.25")
    settings = TrainerSettings()
    assert (read(settings, "cosine_shrinkage"), read(settings, "cosine_own_damping")) == (3.5, 0.25)


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
