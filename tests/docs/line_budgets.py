"""Prints how many lines each room has, next to its budget in CONTRIBUTING.md: `make lint` runs it.

A room is a folder of the top level. What git does not track is not counted, nor are locks,
pictures, the changelog, the code of others, and what a command generates: `LEFT_OUT`.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "CONTRIBUTING.md"

LEFT_OUT: Final = re.compile(
    r"\.(lock|png|svg|d\.ts)$|package-lock\.json$|go\.(mod|sum)$|/vendor/"
    r"|^CHANGELOG\.md$|^docs/settings\.md$|^infra/docker/settings\.env$"  # `make docs`
    r"|^infra/kubernetes/components/monitoring/rules\.yaml$"  # `python -m infra.kubernetes.rules`
    r"|^tests/infra/compose\.golden\.yml$"  # `python -m tests.infra.golden`
    r"|^clients/.*(/_sync/|/structs\.py$|/endpoints\.py$)"
)
ROOMS_OF_DOCS: Final = {"", ".ci", ".codespell", ".github"}
DOCS: Final = "docs"
"""The room of the root's own files, too."""
ALL: Final = "all"


def read_budgets(page: str) -> dict[str, int]:
    """Return each room's budget, given the text of CONTRIBUTING.md."""
    rows = re.findall(r"^\| `?([a-z_]+)/?`?.* \| ([\d,]+) \|$", page, re.MULTILINE)
    return {room: int(budget.replace(",", "")) for room, budget in rows}


def count_lines(files: Mapping[str, int]) -> Counter[str]:
    """Return the lines of each room and of all, given those of each file by its path."""
    counts: Counter[str] = Counter()
    for path, lines in files.items():
        if not LEFT_OUT.search(path):
            room = path.split("/")[0] if "/" in path else ""
            counts[DOCS if room in ROOMS_OF_DOCS else room] += lines
    counts[ALL] = counts.total()
    return counts


def over_budget(counts: Mapping[str, int], budgets: Mapping[str, int]) -> list[str]:
    """Return what is wrong: rooms over their budget, and rooms without one."""
    return [
        f"{room}: {lines:,} lines, budget {budgets[room]:,}: take out what nobody needs"
        if room in budgets
        else f"{room}: no budget in the table of CONTRIBUTING.md"
        for room, lines in counts.items()
        if lines > budgets.get(room, -1)
    ]


def table(counts: Mapping[str, int], budgets: Mapping[str, int]) -> Iterable[str]:
    yield f"{'room':18}{'lines':>9}{'budget':>9}"
    for room, lines in sorted(counts.items(), key=lambda entry: (entry[0] == ALL, entry[0])):
        yield f"{room:18}{lines:9,}{budgets.get(room, 0):9,}"


def main() -> int:
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    paths = [path for path in tracked.split("\0") if path and (ROOT / path).is_file()]
    counts = count_lines({path: (ROOT / path).read_bytes().count(b"\n") for path in paths})
    budgets = read_budgets(PAGE.read_text())
    print("\n".join(table(counts, budgets)))
    wrong = over_budget(counts, budgets)
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
