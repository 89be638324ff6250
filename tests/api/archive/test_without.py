"""An API needs the packages that read an archive only if it has one, and names a missing one."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
WITHOUT: Final = """
import sys
import api.__main__
from api.hot.server import Server
Server.run = lambda server: setattr(server, "started", True)
api.__main__.main()
ours = ("api.bars.archive", "runtime.archive", "runtime.otlp", "opentelemetry.sdk.trace")
packages = ("pyarrow", "pyiceberg", "sqlalchemy", "opentelemetry.exporter")
print([name for name in sys.modules if name in packages or name.startswith(ours)])
"""
MISSING: Final = """
import sys
sys.modules["pyiceberg"] = None
import api.__main__
api.__main__.main()
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_without_an_archive_and_traces_nothing_of_them_is_imported() -> None:
    assert run(WITHOUT).stdout == "[]\n"


def test_what_is_not_installed_is_named_with_the_remedy() -> None:
    refused = run(MISSING, ARCHIVE_WAREHOUSE="/archive")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "ARCHIVE_WAREHOUSE='/archive': the packages that read it are not"
    )
    assert refused.stderr.endswith(
        "install tickrec[archive], or use the image tickrec/api-archive\n"
    )
