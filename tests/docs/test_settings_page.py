"""Pages of settings and of Kafka's rights are what the programs read and look for."""

import re
from pathlib import Path
from typing import Final

import pytest

from runtime.kafka.rights import Right, User, rights
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


KAFKA: Final = Path(__file__).parents[2] / "docs" / "kafka.md"
USERS: Final[dict[str, User]] = {
    "`python -m producers`": "producers",
    "`… producers simulate`": "simulator",
    "`… producers adapt`": "adapter",
    "workers": "workers",
    "trainer": "trainer",
    "api": "api",
    "archive": "archive",
    "`python -m operations.topics`": "topics",
    "`… operations.topics dead-letters`, `republish`": "operator",
}


def test_the_table_of_rights_is_what_the_programs_look_for() -> None:
    section = KAFKA.read_text(encoding="utf-8").split("\n## Users and their rights\n")[1]
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| ")]
    found: dict[User, list[Right]] = {}
    for line in lines[1:]:
        of, operation, on = (cell.strip() for cell in line.strip("|").split("|"))
        # An empty cell stands for the user of the line before.
        user = USERS[of] if of else user  # type: ignore[has-type]  # noqa: F821
        kind, names = on.split(" ", 1)
        found.setdefault(user, []).extend(
            Right(operation, kind, name)  # type: ignore[arg-type]
            for name in re.findall(r"`([^`]+)`", names)
        )
    assert {user: set(of) for user, of in found.items()} == {
        user: set(of) for user, of in rights("NAMESPACE").items()
    }
