"""Four files add a field to a quote and its sum to a bar. All else derives from them.

The suites of the programs that have bars, and `optional_sum`, run in a child process, in a copy to
which both were added.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.archive import BARS_TABLE
from contracts.bars import FIELDS
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from tests.archive.tables import TODAY_US, Tables
from tests.commands import ROOT, run

pytestmark = pytest.mark.stack

LETTER: Final = "lv"
NAME: Final = "levies"
WAREHOUSE: Final = "WAREHOUSE_FROM_BEFORE"
_ROW: Final = (
    'Levies = Annotated[float, BarField("levies", ("levy",), "sum", "amount", is_optional=True)]\n'
)
_LAST: Final = "    lv: Levies = 0.0"
_IMPORT: Final = "from contracts.bars import "
ADDED: Final = {
    "contracts/messages.py": [("Quote", "    levy: Size = 0")],
    "contracts/bars.py": [("Minute", _LAST), ("BarValue", _LAST)],
    "contracts/bar_messages.py": [("ClosedBar", _LAST)],
    "api/bars/answers.py": [("Bar", _LAST)],
}
"""File -> the structs in it, and the line that each ends with afterwards."""

VALUES: Final = {
    letter: 60_001 if field.kind == "time" else 1
    for letter, field in FIELDS.items()
    if letter != LETTER
}
STORED: Final = json.dumps(VALUES | {"off": [0, 3]}).encode()
CLOSED: Final = json.dumps({"instrument_id": 4, "t": 60_000} | VALUES | {"revision": 3}).encode()
ROW: Final[dict[str, Any]] = {"instrument_id": 4, "minute": TODAY_US} | {
    FIELDS[letter].name: 1 if value == 1 else TODAY_US for letter, value in VALUES.items()
}
SUITES: Final = [
    "api/archive/test_columns.py",
    "api/test_bars_reading.py",
    "archive/reading/test_records.py",
    "chaos/test_truth.py",
    "contracts/optional_sum.py",
    "contracts/test_bar_messages.py",
    "contracts/test_keyspace.py",
    "contracts/test_messages.py",
    "stream_processors/bars",
    "stream_processors/compiled",
]


def test_every_program_that_has_bars_derives_the_field(tmp_path: Path) -> None:
    copy = tmp_path / "project"
    unneeded = shutil.ignore_patterns(".*", "__pycache__", "build", "node_modules", "*.egg-info")
    shutil.copytree(ROOT, copy, ignore=unneeded)
    for name, structs in ADDED.items():
        text = (copy / name).read_text(encoding="utf-8")
        for struct, line in structs:
            before, start, rest = text.partition(f"\nclass {struct}(")
            text = before + start + rest.replace("\n\n\n", f"\n{line}\n\n\n", 1)
        text = text.replace(_IMPORT, f"{_IMPORT}Levies\n{_IMPORT}", 1)
        text = text.replace("\nOpenTime = ", f"\n{_ROW}OpenTime = ", 1)
        (copy / name).write_text(text, encoding="utf-8")
    config = ArchiveConfig(warehouse=str(tmp_path / "warehouse"))
    Tables(open_catalog(config), config).commit(BARS_TABLE, [ROW])

    suites = [f"tests/{suite}" for suite in SUITES]
    quiet = ("-q", "-p", "no:cacheprovider")
    own = {"PYTHONPATH": str(copy), WAREHOUSE: config.warehouse}
    done = run(sys.executable, "-m", "pytest", *quiet, *suites, folder=copy, **own)
    assert done.returncode == 0, done.stdout + done.stderr
