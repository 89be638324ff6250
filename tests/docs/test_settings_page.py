"""What is generated from the settings classes is up to date, and README agrees with it."""

import re
from pathlib import Path

import pytest

from tests.docs.settings_page import PAGE, PASSED_ON, ROOT, page, passed_on, settings

ROW = re.compile(r"^\| `(?P<name>[A-Z][A-Z0-9_]+)` \| (?P<default>[^|]+) \|", re.MULTILINE)


@pytest.mark.parametrize(("file", "text"), [(PAGE, page()), (PASSED_ON, passed_on())])
def test_what_is_generated_from_the_settings_is_up_to_date(file: Path, text: str) -> None:
    assert file.read_text() == text, "run `python -m tests.docs.settings_page`"


def test_every_setting_is_described() -> None:
    assert [one.name for one in settings() if not one.field.description] == []


def test_readme_shows_settings_with_their_defaults() -> None:
    shown = ROW.findall((ROOT / "README.md").read_text())
    assert shown
    assert set(shown) <= set(ROW.findall(page()))
