"""Runs schemathesis against a server: every check, by what /openapi.json says."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.fuzz.request import KEY

_FOLDER: Final = Path(__file__).parent


def schemathesis(address: str, seed: int, examples: int) -> subprocess.CompletedProcess[str]:
    """Run it with up to `examples` generated requests of each kind for an operation."""
    return subprocess.run(
        (
            *(sys.executable, "-m", "schemathesis.cli", "--config-file"),
            *(str(_FOLDER / "schemathesis.toml"), "run", f"{address}/openapi.json"),
            *("--checks", "all", "--header", f"X-API-Key: {KEY.decode()}", "--no-color"),
            *("--continue-on-failure", "--seed", str(seed), "--max-examples", str(examples)),
        ),
        cwd=_FOLDER.parents[1],  # where the hooks can be imported from
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
