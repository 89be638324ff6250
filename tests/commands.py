"""Runs commands to their end."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
"""the repository"""


def run(
    *argv: str | Path, folder: Path = ROOT, only: Mapping[str, str] | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command; return its exit code and what it printed.

    Args:
        argv: the command.
        folder: where it runs.
        only: its environment; that of this process by default.
        more: variables on top of those.
    """
    environment = {**(os.environ if only is None else only), **more}
    return subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
