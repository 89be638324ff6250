"""docs/kafka.md names the rights that the programs look for, and no others."""

import re
from pathlib import Path
from typing import Final

from runtime.kafka.rights import Right, User, rights

PAGE: Final = Path(__file__).parents[2] / "docs" / "kafka.md"
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
    section = PAGE.read_text(encoding="utf-8").split("\n## Users and their rights\n")[1]
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
