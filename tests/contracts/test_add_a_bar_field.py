"""Three files add an optional sum to a bar, as CONTRIBUTING says. All else derives from it.

The suites of the programs that have bars, and `optional_sum`, run in a child process, in a copy to
which the field was added.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.archive import BARS_TABLE
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from tests.archive.tables import TODAY_US, Tables

pytestmark = pytest.mark.stack

ROOT: Final = Path(__file__).parents[2]
LETTER: Final = "sq"
NAME: Final = "squares"
WAREHOUSE: Final = "WAREHOUSE_FROM_BEFORE"
_ROW: Final = (
    'Squares = Annotated[float, BarField("squares", ("size", "size"), "sum", "amount", '
    "is_optional=True)]\n"
)
_LAST: Final = "    sq: Squares = 0.0\n"
ADDED: Final = {
    "contracts/bars.py": [
        ("OpenTime = ", f"{_ROW}OpenTime = "),
        ("    pv: Notional\n\n\nclass", f"    pv: Notional\n{_LAST}\n\nclass"),
        ('by position"""\n', f'by position"""\n{_LAST}'),
    ],
    "contracts/bar_messages.py": [
        ("    Open,\n", "    Open,\n    Squares,\n"),
        ('of its minute"""\n', f'of its minute"""\n{_LAST}'),
    ],
    "api/bars/answers.py": [
        ("Low, Open, Volume\n", "Low, Open, Squares, Volume\n"),
        ('bar is complete"""\n', f'bar is complete"""\n{_LAST}'),
    ],
}
"""File -> the places in it, and what stands there afterwards."""

STORED: Final = (
    b'{"o":1.0,"h":1.0,"l":1.0,"c":1.0,"v":1.0,"n":1,"pv":1.0,"ot":60001,"ct":60001,"off":[0,3]}'
)
CLOSED: Final = (
    b'{"instrument_id":4,"t":60000,"o":1.0,"h":1.0,"l":1.0,"c":1.0,"v":1.0,"n":1,"pv":1.0,'
    b'"ot":60001,"ct":60001,"revision":3}'
)
ROW: Final[dict[str, Any]] = {
    "instrument_id": 4, "minute": TODAY_US, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0,
    "volume": 1.0, "count": 1, "notional": 1.0, "open_ts": TODAY_US, "close_ts": TODAY_US,
}  # fmt: skip
SUITES: Final = [
    "api/archive/test_columns.py",
    "api/archive/test_rows.py",
    "api/test_bars_reading.py",
    "archive/reading/test_records.py",
    "chaos/test_truth.py",
    "contracts/optional_sum.py",
    "contracts/test_bar_messages.py",
    "contracts/test_keyspace.py",
    "stream_processors/bars",
]


def test_every_program_that_has_bars_derives_the_field(tmp_path: Path) -> None:
    copy = tmp_path / "project"
    unneeded = shutil.ignore_patterns(".*", "__pycache__", "build", "node_modules", "*.egg-info")
    shutil.copytree(ROOT, copy, ignore=unneeded)
    for name, places in ADDED.items():
        text = (copy / name).read_text(encoding="utf-8")
        for old, new in places:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        (copy / name).write_text(text, encoding="utf-8")
    config = ArchiveConfig(warehouse=str(tmp_path / "warehouse"))
    Tables(open_catalog(config), config).commit(BARS_TABLE, [ROW])

    suites = [f"tests/{suite}" for suite in SUITES]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy), WAREHOUSE: config.warehouse},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
